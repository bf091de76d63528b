//! What an arm with a client outside the cluster does beyond the others.

use tollgate_results::facts::Hops;

use super::Arm;
use crate::address::Side;
use crate::error::LabError;
use crate::outside::Machines;
use crate::topology::Place;

impl Arm {
    /// Counts the routers on the way of a client outside, before anything else runs in the arm.
    pub(super) fn hops(&self, notes: &mut Vec<String>) -> Result<Option<Hops>, LabError> {
        let Some(outside) = &self.outside else {
            return Ok(None);
        };
        match outside.hops(self.machines()?) {
            Ok(hops) => Ok(Some(hops)),
            Err(error) => {
                notes.push(error.chain());
                Ok(None)
            }
        }
    }

    /// Returns the namespaces of an arm whose client is outside.
    pub(super) fn machines(&self) -> Result<Machines<'_>, LabError> {
        let at = |place| self.at(place).map(|site| &site.netns);
        Ok(Machines {
            client: at(self.client_place)?,
            entry: at(Place::Node(Side::A))?,
            server_node: at(Place::Node(Side::B))?,
            server: at(self.server_place)?,
        })
    }
}

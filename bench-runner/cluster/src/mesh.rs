//! Who meets whom when every node is measured against every other.
//!
//! A round-robin tournament by the circle method: each node is in one pair at a time, so N nodes need N − 1
//! rounds, N where N is odd and one of them rests in each round. Rounds are made one at a time: a thousand
//! nodes are half a million pairs.

pub use tollgate_results::mesh::MOST_NODES;

/// A mesh that can't be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a mesh of {nodes} nodes can't be measured; choose 2 to {most} nodes", most = MOST_NODES)]
pub struct MeshError {
    nodes: usize,
}

/// The plan of a mesh: which pairs are measured in which round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mesh {
    nodes: usize,
}

/// Two nodes by their index. The first sends; each pair meets once, and who sends alternates, so that every node
/// sends to half of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The node that sends.
    pub client: usize,
    /// The node that answers.
    pub server: usize,
}

impl Mesh {
    /// Plans a mesh.
    ///
    /// # Errors
    ///
    /// When there are fewer than 2 or more than [`MOST_NODES`] nodes.
    pub const fn of(nodes: usize) -> Result<Self, MeshError> {
        if nodes < 2 || nodes > MOST_NODES {
            return Err(MeshError { nodes });
        }
        Ok(Self { nodes })
    }

    /// Returns how many rounds there are: N − 1, N where N is odd.
    #[must_use]
    pub const fn rounds(self) -> usize {
        self.seats() - 1
    }

    /// Returns how many pairs there are in all.
    #[must_use]
    pub const fn pairs(self) -> usize {
        self.nodes * (self.nodes - 1) / 2
    }

    /// Returns the pairs of a round, which run at the same time; none beyond the last round.
    pub fn round(self, round: usize) -> impl Iterator<Item = Pair> {
        let seats = self.seats();
        let turns = if round < self.rounds() { seats / 2 } else { 0 };
        // Seat 0 stays, the others go around it by one seat each round.
        let at = move |seat: usize| match seat {
            0 => 0,
            seat => 1 + (seat - 1 + round) % (seats - 1),
        };
        (0..turns)
            .map(move |turn| {
                let (a, b) = (at(turn), at(seats - 1 - turn));
                // The turn alternates who sends within the circle, the round for the seat that stays.
                let swap = if turn == 0 { round } else { turn } % 2 == 1;
                let (client, server) = if swap { (b, a) } else { (a, b) };
                Pair { client, server }
            })
            // The empty seat of an odd number: whoever meets it rests.
            .filter(move |pair| pair.client < self.nodes && pair.server < self.nodes)
    }

    /// Returns the seats of the circle: an even number.
    const fn seats(self) -> usize {
        self.nodes + self.nodes % 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what makes a tournament: everybody meets everybody once, and is in one pair at a time.
    fn check(nodes: usize) {
        let mesh = Mesh::of(nodes).unwrap();
        let mut met = vec![false; nodes * nodes];
        let mut sends = vec![0_usize; nodes];
        let mut pairs = 0;
        for round in 0..mesh.rounds() {
            let mut busy = vec![false; nodes];
            for Pair { client, server } in mesh.round(round) {
                assert!(!busy[client] && !busy[server], "{nodes}: round {round}");
                (busy[client], busy[server]) = (true, true);
                let (low, high) = (client.min(server), client.max(server));
                assert!(
                    low < high && !met[low * nodes + high],
                    "{nodes}: {low} {high}"
                );
                met[low * nodes + high] = true;
                sends[client] += 1;
                pairs += 1;
            }
            let resting = busy.iter().filter(|&&busy| !busy).count();
            assert_eq!(resting, nodes % 2, "{nodes}: round {round}");
        }
        assert_eq!(pairs, mesh.pairs());
        assert_eq!(mesh.round(mesh.rounds()).count(), 0);
        let least = sends.iter().min().copied().unwrap_or_default();
        let most = sends.iter().max().copied().unwrap_or_default();
        assert!(
            most - least <= 2,
            "{nodes}: a node sends {least} to {most} times"
        );
    }

    #[test]
    fn everybody_meets_everybody_once_and_is_in_one_pair_at_a_time() {
        for nodes in (2..=40).chain([127, 128, 999, 1_000]) {
            check(nodes);
        }
    }

    #[test]
    fn a_mesh_has_bounds() {
        assert_eq!(Mesh::of(2).unwrap().rounds(), 1);
        assert_eq!(Mesh::of(3).unwrap().rounds(), 3);
        assert_eq!(Mesh::of(1_000).unwrap().rounds(), 999);
        for nodes in [0, 1, MOST_NODES + 1, usize::MAX] {
            let told = Mesh::of(nodes).unwrap_err().to_string();
            assert!(told.contains("choose 2 to 1000"), "{told}");
        }
    }
}

//! The queueing discipline at the root of a device.

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::Netlink;
use crate::error::{Doing as _, LabError};

impl Netlink {
    /// Puts a queueing discipline with its default parameters at the root of a device, and reads back which is there.
    pub(crate) fn set_qdisc(&self, device: u32, kind: &str) -> Result<String, LabError> {
        let doing = || format!("set the queueing discipline `{kind}`");
        let index = i32::try_from(device).unwrap_or(i32::MAX);
        let mut message = TcMessage::with_index(index);
        message.header.parent = TcHandle::ROOT;
        message.attributes.push(TcAttribute::Kind(kind.to_owned()));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.runtime.block_on(async {
            let mut handle = self.handle.clone();
            let mut answers = handle.request(request).doing(doing)?;
            while let Some(answer) = answers.next().await {
                if let NetlinkPayload::Error(error) = answer.payload
                    && error.code.is_some()
                {
                    return Err(LabError::new(
                        doing(),
                        rtnetlink::Error::NetlinkError(error),
                    ));
                }
            }
            Ok(())
        })?;
        let found = self.qdisc(index)?;
        if found.as_deref() == Some(kind) {
            return Ok(kind.to_owned());
        }
        let why = match found {
            Some(other) => format!("the device keeps `{other}`"),
            None => "the device shows none".to_owned(),
        };
        Err(LabError::said(doing(), why))
    }

    /// Returns the kind at the root of a device.
    fn qdisc(&self, index: i32) -> Result<Option<String>, LabError> {
        self.runtime.block_on(async {
            let found: Vec<TcMessage> = self
                .handle
                .qdisc()
                .get()
                .index(index)
                .execute()
                .try_collect()
                .await
                .doing(|| "read a device's queueing discipline")?;
            let root = found.into_iter().find(|message| {
                message.header.index == index && message.header.parent == TcHandle::ROOT
            });
            Ok(root.and_then(|message| {
                message
                    .attributes
                    .into_iter()
                    .find_map(|attribute| match attribute {
                        TcAttribute::Kind(kind) => Some(kind),
                        _ => None,
                    })
            }))
        })
    }
}

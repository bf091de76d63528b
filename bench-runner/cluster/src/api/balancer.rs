//! What a load balancer gave a service.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{Cluster, ClusterError};
use crate::objects::Object;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl Cluster {
    /// Waits for the address, or the name, by which a load balancer leads to a service; `None` where there is none within
    /// the limit. It is looked at by applying the service again, which needs no right that making it didn't.
    ///
    /// # Errors
    ///
    /// When the server refuses the service.
    pub async fn balanced(
        &self,
        service: &Object,
        limit: Duration,
    ) -> Result<Option<String>, ClusterError> {
        let looked = timeout(limit, async {
            loop {
                let made = self.apply(service).await?;
                if let Some(found) = ingress(&made) {
                    return Ok(found);
                }
                sleep(LOOK).await;
            }
        });
        match looked.await {
            Ok(found) => found.map(Some),
            Err(_) => Ok(None),
        }
    }
}

fn ingress(service: &Value) -> Option<String> {
    let first = service.pointer("/status/loadBalancer/ingress/0")?;
    let text = first
        .get("ip")
        .or_else(|| first.get("hostname"))?
        .as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_goes_before_a_name_and_nothing_is_nothing() {
        let with = |ingress: Value| json!({"status": {"loadBalancer": {"ingress": [ingress]}}});
        assert_eq!(
            ingress(&with(json!({"ip": "192.0.2.7", "hostname": "a"}))).as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(
            ingress(&with(json!({"hostname": "lb.example"}))).as_deref(),
            Some("lb.example")
        );
        for none in [
            json!({}),
            json!({"status": {"loadBalancer": {}}}),
            with(json!({"ip": ""})),
        ] {
            assert_eq!(ingress(&none), None);
        }
    }
}

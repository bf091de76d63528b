//! Campaigns whose arms can't stand at the same time: a command switches one cluster between them. Each install has
//! every arm once, one after the other in random order, each with all its rounds of that install (statistics §2.2).

use std::collections::BTreeMap;

use anyhow::Context as _;
use tollgate_results::run::{Campaign, Install};
use tollgate_results::slice::{Slice, SliceKey, SliceResult};

use super::{Campaigner, Journal, Pace, comparable, next_round};
use crate::clock::Clock;
use crate::exit::EnvironmentError;
use crate::schedule;
use crate::target::{Deployment as _, Target};

impl<T: Target, C: Clock, J: Journal> Campaigner<'_, T, C, J> {
    /// Measures one install: the discarded round and `rounds` more of every arm. Returns why it broke off, where its arms
    /// fell.
    pub(super) async fn block(
        &mut self,
        campaign: &mut Campaign,
        rounds: u32,
        reason: Option<String>,
        pace: &mut Pace,
    ) -> anyhow::Result<Option<String>> {
        let first = next_round(campaign);
        let number = campaign.run.installs.len();
        let install = u32::try_from(number).context("too many installs")?;
        let order = schedule::block(&campaign.run.plan, install);
        campaign.run.installs.push(Install {
            started_unix_ms: self.clock.unix_ms(),
            first_round: first,
            order: Vec::new(),
            arms: BTreeMap::new(),
            reason,
        });
        let mut failure = None;
        let before = campaign.slices.len();
        for (place, name) in order.iter().enumerate() {
            self.target.clear().await?;
            self.progress.deploying(name, place, order.len());
            let deployed = self.stand(&mut campaign.run, name, install).await?;
            comparable(&campaign.run.plan)?;
            let Some(arm) = deployed else { continue };
            if let Some(install) = campaign.run.installs.get_mut(number) {
                let facts = arm.deployment.site().facts.clone();
                install.order.push(name.clone());
                install.arms.insert(name.clone(), facts);
            }
            self.journal.write_run(&campaign.run)?;
            let mut arms = BTreeMap::from([(name.clone(), arm)]);
            for round in first..=first.saturating_add(rounds) {
                let slices = schedule::round(&campaign.run.plan, round).into_iter();
                let own: Vec<SliceKey> = slices.filter(|key| key.arm == *name).collect();
                let position = place * own.len();
                let spell = self
                    .slices(campaign, &mut arms, own, position, pace)
                    .await?;
                if spell.fallen.is_some() {
                    return Ok(spell.fallen);
                }
                failure = spell.failures.into_iter().next().or(failure);
            }
        }
        let failed = |slice: &Slice| matches!(slice.record.result, SliceResult::Failed { .. });
        match failure {
            // Where not one slice of an install was measured, no later one will be.
            Some(reason) if campaign.slices.iter().skip(before).all(failed) => {
                Err(anyhow::Error::new(EnvironmentError(format!(
                    "no slice could be measured in install {number}: {reason}"
                ))))
            }
            _ => Ok(None),
        }
    }
}

//! How many rules a namespace has, by table and chain: those of `nf_tables` over netlink, those of the old tables as
//! `iptables-legacy-save` lists them. All of it works on the network namespace of the calling thread.

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use tollgate_results::lab_state::{ChainState, RuleKeeper, RuleTable};

use super::legacy::old_tables;
use super::program;
use crate::error::{Doing as _, LabError};
use crate::netlink::plain::{self, Talk};

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message's type.
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_GETTABLE`.
const GET_TABLE: u16 = NFTABLES | 1;
/// `NFT_MSG_NEWRULE`: how rules are listed.
const NEW_RULE: u16 = NFTABLES | 6;
/// `NFT_MSG_GETRULE`.
const GET_RULE: u16 = NFTABLES | 7;
/// `NFTA_TABLE_NAME`, and `NFTA_RULE_TABLE`.
const TABLE: u16 = 1;
/// `NFTA_RULE_CHAIN`.
const CHAIN: u16 = 2;

/// More chains of one kind than this are told as one: kube-proxy has two for each service.
const MOST_ALIKE: usize = 4;
/// More lines for a table than this are of no use to anybody.
const MOST_CHAINS: usize = 64;

/// Rules of each chain, by what keeps its table, the table's family and name, and the chain's name.
type Counts = BTreeMap<(RuleKeeper, String, String), BTreeMap<String, u64>>;

/// Lists the tables of the caller's namespace with the rules of their chains.
///
/// # Errors
/// The kernel refuses, or `iptables-legacy-save` is missing where there are old tables.
pub(crate) fn tables() -> Result<Vec<RuleTable>, LabError> {
    let mut counts = nftables().doing(|| "count the rules of nf_tables")?;
    for (family, names, save) in [
        ("ip", "ip_tables_names", "iptables-legacy-save"),
        ("ip6", "ip6_tables_names", "ip6tables-legacy-save"),
    ] {
        let tables = old_tables(names).doing(|| format!("read `{names}`"))?;
        if !tables.trim().is_empty() {
            let listing = program::run(save, &[], "").doing(|| "count the rules of old tables")?;
            add_saved(&mut counts, family, &listing);
        }
    }
    Ok(counts.into_iter().map(table).collect())
}

fn nftables() -> Result<Counts, Errno> {
    let talk = Talk::open(SockProtocol::NetlinkNetFilter)?;
    let all = |kind| plain::request(kind, plain::DUMP, [0; 4], &[]);
    let mut counts: Counts = talk.list(&all(GET_TABLE), |counts: &mut Counts, message| {
        if let Some((table, _)) = place(message) {
            counts.entry(table).or_default();
        }
    })?;
    let rules: Counts = talk.list(&all(GET_RULE), |counts: &mut Counts, message| {
        if let Some((table, Some(chain))) = place(message) {
            *counts.entry(table).or_default().entry(chain).or_default() += 1;
        }
    })?;
    counts.extend(rules);
    Ok(counts)
}

/// Reads which table a message is about, and for a rule which chain.
fn place(message: &[u8]) -> Option<((RuleKeeper, String, String), Option<String>)> {
    let answer = plain::read(message).ok()?;
    let text = |kind| {
        let bytes = plain::find(answer.attributes, kind)?;
        let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let family = family(plain::family(message)?);
    // In a message about a table the chain's attribute is a number of flags.
    let is_rule = answer.kind == NEW_RULE;
    let chain = is_rule.then(|| text(CHAIN)).flatten();
    Some(((RuleKeeper::Nftables, family, text(TABLE)?), chain))
}

/// Returns what `nft` calls a family of `<linux/netfilter.h>`.
fn family(number: u8) -> String {
    match number {
        1 => "inet".to_owned(),
        2 => "ip".to_owned(),
        3 => "arp".to_owned(),
        5 => "netdev".to_owned(),
        7 => "bridge".to_owned(),
        10 => "ip6".to_owned(),
        other => format!("family {other}"),
    }
}

/// Adds what `iptables-legacy-save` printed.
fn add_saved(counts: &mut Counts, family: &str, listing: &str) {
    let mut chains = None;
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix('*') {
            let table = (RuleKeeper::Legacy, family.to_owned(), name.to_owned());
            chains = Some(counts.entry(table).or_default());
        } else if let Some(rule) = line.strip_prefix("-A ")
            && let Some(chains) = &mut chains
        {
            let chain = rule.split(' ').next().unwrap_or_default();
            *chains.entry(chain.to_owned()).or_default() += 1;
        }
    }
}

fn table(
    ((keeper, family, table), chains): ((RuleKeeper, String, String), BTreeMap<String, u64>),
) -> RuleTable {
    RuleTable {
        keeper,
        family,
        table,
        rules: chains.values().sum(),
        chains: folded(chains),
    }
}

/// Tells many chains of one kind as one, and bounds how many lines there are in all.
fn folded(chains: BTreeMap<String, u64>) -> Vec<ChainState> {
    let mut kinds: BTreeMap<String, Vec<ChainState>> = BTreeMap::new();
    for (name, rules) in chains {
        let chain = ChainState {
            name: name.clone(),
            chains: 1,
            rules,
        };
        kinds.entry(kind(&name).to_owned()).or_default().push(chain);
    }
    let mut out: Vec<ChainState> = Vec::new();
    for (kind, chains) in kinds {
        if chains.len() > MOST_ALIKE {
            out.push(together(&kind, &chains));
        } else {
            out.extend(chains);
        }
    }
    if out.len() > MOST_CHAINS {
        let rest = out.split_off(MOST_CHAINS - 1);
        out.push(together("", &rest));
    }
    out
}

/// What the names of chains of one kind begin with: kube-proxy's have a second part before what tells them apart.
fn kind(chain: &str) -> &str {
    let parts = usize::from(chain.starts_with("KUBE-"));
    let end = chain.match_indices('-').nth(parts);
    end.map_or(chain, |(end, _)| &chain[..=end])
}

fn together(start: &str, chains: &[ChainState]) -> ChainState {
    ChainState {
        name: format!("{start}*"),
        chains: chains.iter().map(|chain| chain.chains).sum(),
        rules: chains.iter().map(|chain| chain.rules).sum(),
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::Family;

    use super::*;
    use crate::rules::{self, Backend};
    use crate::testing;

    fn chain(name: &str, chains: u64, rules: u64) -> ChainState {
        ChainState {
            name: name.to_owned(),
            chains,
            rules,
        }
    }

    #[test]
    fn chains_of_many_services_are_told_as_one() {
        let mut chains = BTreeMap::from([
            ("KUBE-SERVICES".to_owned(), 9),
            ("KUBE-MARK-MASQ".to_owned(), 1),
            ("POSTROUTING".to_owned(), 2),
        ]);
        for n in 0..6 {
            chains.insert(format!("KUBE-SVC-ABCDEFGHIJKLMN{n}"), 3);
            chains.insert(format!("endpoint-ABCDEFG{n}-ns/svc-{n}/tcp/web"), 2);
        }
        assert_eq!(
            folded(chains),
            [
                chain("KUBE-MARK-MASQ", 1, 1),
                chain("KUBE-SERVICES", 1, 9),
                chain("KUBE-SVC-*", 6, 18),
                chain("POSTROUTING", 1, 2),
                chain("endpoint-*", 6, 12),
            ]
        );
    }

    #[test]
    fn a_table_has_a_bounded_number_of_lines() {
        let chains = (0..500).map(|n| (format!("c{n:03}"), 2)).collect();
        let folded = folded(chains);
        assert_eq!(folded.len(), MOST_CHAINS);
        assert_eq!(folded.last(), Some(&chain("*", 437, 874)));
    }

    #[test]
    fn a_saved_listing_is_counted_by_table_and_chain() {
        let mut counts = Counts::new();
        add_saved(
            &mut counts,
            "ip",
            "# Generated\n-A LOST -j X\n*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
             -A PREROUTING -j KUBE-SERVICES\n-A KUBE-SERVICES -j A\n-A KUBE-SERVICES -j B\nCOMMIT\n\
             *filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n",
        );
        let tables: Vec<RuleTable> = counts.into_iter().map(table).collect();
        assert_eq!(
            (tables[0].table.as_str(), tables[0].rules),
            ("filter", 0),
            "a table without rules is one all the same"
        );
        assert_eq!((tables[1].table.as_str(), tables[1].rules), ("nat", 3));
        assert_eq!(tables[1].chains[0], chain("KUBE-SERVICES", 1, 2));
    }

    #[test]
    fn rules_of_both_kinds_are_counted_where_they_are() {
        let test = "rules::count::tests::rules_of_both_kinds_are_counted_where_they_are";
        testing::in_namespace(test, Family::Ipv4, || {
            let of = |keeper: RuleKeeper| {
                let tables = tables().unwrap().into_iter();
                let tables = tables.filter(move |table| table.keeper == keeper);
                tables.collect::<Vec<RuleTable>>()
            };
            assert!(of(RuleKeeper::Legacy).is_empty());
            rules::load_nftables(
                "add table inet x\nadd chain inet x y\nadd chain inet x z\n\
                 add rule inet x y counter\nadd rule inet x y counter\nadd rule inet x z counter\n",
            )
            .unwrap();
            let restored = "*nat\n:MINE - [0:0]\n-A OUTPUT -j MINE\n-A MINE -j RETURN\nCOMMIT\n";
            rules::load_iptables(Backend::Legacy, Family::Ipv4, restored).unwrap();
            let modern = of(RuleKeeper::Nftables);
            assert_eq!(modern.len(), 1, "{modern:?}");
            assert_eq!((modern[0].family.as_str(), modern[0].rules), ("inet", 3));
            assert_eq!(modern[0].chains, [chain("y", 1, 2), chain("z", 1, 1)]);
            let old = of(RuleKeeper::Legacy);
            let nat = old.iter().find(|table| table.table == "nat").unwrap();
            assert_eq!(nat.chains, [chain("MINE", 1, 1), chain("OUTPUT", 1, 1)]);
        });
    }
}

//! Which probes a run has: those of the usual paths, those of arms that name nodes of their own, and further clients.

use super::Settings;
use super::pods::Role;

/// What the names of a run's objects begin with.
const PREFIX: &str = "tollgate-";

/// One probe of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// What it does.
    pub role: Role,
    /// The pair of nodes that it belongs to, by its number in [`Settings::pairs`] counted from 1; 0 is the usual one.
    pub pair: usize,
    /// Which of several clients it is, from 0; 0 for every other role.
    pub number: u8,
}

/// Two nodes that arms lead between, with probes of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The node of the client.
    pub client: String,
    /// The node of the server; perhaps the same one.
    pub server: String,
    /// Client pods that stand there, 1 or more.
    pub clients: u8,
}

impl Seat {
    /// Returns the seat of a role in the usual paths.
    #[must_use]
    pub const fn usual(role: Role) -> Self {
        Self::of(role, 0)
    }

    /// Returns the seat of a role on a pair of nodes.
    #[must_use]
    pub const fn of(role: Role, pair: usize) -> Self {
        Self {
            role,
            pair,
            number: 0,
        }
    }

    /// Returns the seats of so many clients beside this one.
    pub fn further(self, clients: u8) -> impl Iterator<Item = Self> {
        (1..clients).map(move |number| Self { number, ..self })
    }

    /// Returns the word that labels the pod: no two probes of a run have the same.
    #[must_use]
    pub fn word(self) -> String {
        let word = of_pair(self.role.as_str(), self.pair);
        match self.number {
            0 => word,
            // People count from 1.
            number => format!("{word}-{}", u16::from(number) + 1),
        }
    }

    /// Returns the pod's name.
    #[must_use]
    pub fn pod(self) -> String {
        format!("{PREFIX}{}", self.word())
    }
}

/// Returns the name of a pair's service that has this one in the usual paths.
#[must_use]
pub fn service_of(name: &str, pair: usize) -> String {
    match name.strip_prefix(PREFIX) {
        Some(bare) => format!("{PREFIX}{}", of_pair(bare, pair)),
        None => of_pair(name, pair),
    }
}

fn of_pair(word: &str, pair: usize) -> String {
    match pair {
        0 => word.to_owned(),
        pair => format!("pair{pair}-{word}"),
    }
}

impl Settings {
    /// Returns the probes that stand.
    #[must_use]
    pub fn seats(&self) -> Vec<Seat> {
        let usual = Role::ALL.into_iter().filter(|role| match role {
            Role::Client | Role::Near | Role::Far => true,
            Role::HostClient | Role::HostFar => self.host_network,
            Role::Zone => self.other_zone,
        });
        let further = Seat::usual(Role::Client).further(self.clients);
        let pairs = (1..).zip(&self.pairs).flat_map(|(pair, nodes)| {
            let client = Seat::of(Role::Client, pair);
            let server = Seat::of(Role::Far, pair);
            [client, server]
                .into_iter()
                .chain(client.further(nodes.clients))
        });
        usual.map(Seat::usual).chain(further).chain(pairs).collect()
    }

    /// Returns the node that a probe is put on; `None` where the scheduler chooses.
    #[must_use]
    pub(super) fn node(&self, seat: Seat) -> Option<&str> {
        let (client, server) = if let Some(pair) = seat.pair.checked_sub(1) {
            let pair = self.pairs.get(pair)?;
            (&pair.client, &pair.server)
        } else {
            let (client, server) = self.nodes.as_ref()?;
            (client, server)
        };
        match seat.role {
            Role::Client | Role::Near | Role::HostClient => Some(client),
            Role::Far | Role::HostFar => Some(server),
            Role::Zone => None,
        }
    }

    /// Returns the number of the pair of these nodes, client and server, with so many clients; 0, the usual one, where no nodes
    /// are named, `None` where no such probes stand on them.
    #[must_use]
    pub fn pair(&self, nodes: Option<(&str, &str)>, clients: u8) -> Option<usize> {
        let Some((client, server)) = nodes else {
            return Some(0);
        };
        let mut pairs = self.pairs.iter();
        let found = pairs.position(|pair| {
            pair.client == client && pair.server == server && pair.clients == clients
        });
        found.map(|position| position + 1)
    }

    /// Returns every node that was chosen, each once.
    pub(crate) fn chosen(&self) -> Vec<&str> {
        let usual = self.nodes.iter().map(|(client, server)| [client, server]);
        let pairs = self.pairs.iter().map(|pair| [&pair.client, &pair.server]);
        let mut chosen: Vec<&str> = Vec::new();
        for node in usual.chain(pairs).flatten() {
            if !chosen.contains(&node.as_str()) {
                chosen.push(node);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn pair(client: &str, server: &str) -> Pair {
        Pair {
            client: client.to_owned(),
            server: server.to_owned(),
            clients: 1,
        }
    }

    fn settings() -> Settings {
        Settings {
            nodes: Some(("a".to_owned(), "b".to_owned())),
            pairs: vec![pair("b", "a"), pair("c", "c")],
            host_network: true,
            other_zone: true,
            ..Settings::default()
        }
    }

    #[test]
    fn no_two_probes_have_one_name() {
        let settings = settings();
        let seats = settings.seats();
        let pods: BTreeSet<String> = seats.iter().map(|seat| seat.pod()).collect();
        assert_eq!(pods.len(), Role::ALL.len() + 2 * 2);
        assert!(pods.contains("tollgate-far") && pods.contains("tollgate-pair2-far"));
        assert_eq!(
            service_of("tollgate-far-headless", 0),
            "tollgate-far-headless"
        );
        assert_eq!(
            service_of("tollgate-far-headless", 2),
            "tollgate-pair2-far-headless"
        );
    }

    #[test]
    fn several_clients_are_pods_of_one_node() {
        let mut settings = Settings {
            clients: 3,
            ..settings()
        };
        settings.pairs[1].clients = 2;
        let clients = |pair| {
            let seats = settings.seats().into_iter();
            let of_pair = seats.filter(move |seat| seat.role == Role::Client && seat.pair == pair);
            let told = of_pair.map(|seat| (seat.word(), settings.node(seat).unwrap()));
            told.map(|(word, node)| format!("{word} on {node}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            clients(0),
            ["client on a", "client-2 on a", "client-3 on a"]
        );
        assert_eq!(clients(1), ["pair1-client on b"]);
        assert_eq!(clients(2), ["pair2-client on c", "pair2-client-2 on c"]);
    }

    #[test]
    fn probes_stand_on_the_nodes_that_were_chosen() {
        let settings = settings();
        let on = |role, pair| settings.node(Seat::of(role, pair));
        assert_eq!(
            (on(Role::Client, 0), on(Role::Far, 0)),
            (Some("a"), Some("b"))
        );
        assert_eq!(
            (on(Role::Near, 0), on(Role::HostFar, 0)),
            (Some("a"), Some("b"))
        );
        assert_eq!(on(Role::Zone, 0), None);
        assert_eq!(
            (on(Role::Client, 1), on(Role::Far, 1)),
            (Some("b"), Some("a"))
        );
        assert_eq!(
            (on(Role::Client, 2), on(Role::Far, 2)),
            (Some("c"), Some("c"))
        );
        assert_eq!(settings.pair(None, 4), Some(0));
        assert_eq!(settings.pair(Some(("b", "a")), 1), Some(1));
        assert_eq!(
            settings.pair(Some(("a", "b")), 1),
            None,
            "it isn't its own pair"
        );
        assert_eq!(settings.chosen(), ["a", "b", "c"]);
    }
}

//! `tollgate lab`: a lab that stands until it is taken down.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{bail, ensure};
use std::os::unix::process::ExitStatusExt as _;
use tollgate_lab::{Capabilities, LabOptions, Role, kept};
use tollgate_results::arm::{Access, Datapath, Name, Place, Pods, Service, Services, Wire};

use super::plan::table;
use crate::cli::{LabCommand, LabUpArgs};
use crate::clock::{Clock as _, SystemClock};
use crate::exit::{EnvironmentError, Exit};
use crate::output;
use crate::progress::tenths;

mod exec;
mod show;

/// A kept lab puts the service under test last, so nothing in it is left to chance.
const SEED: u64 = 0;

/// Does one of the lab's commands.
pub(super) fn lab(command: LabCommand) -> anyhow::Result<Exit> {
    match command {
        LabCommand::Up(args) => up(&args),
        LabCommand::List { json } => list(json),
        LabCommand::Show(args) => show::show(&args),
        LabCommand::Exec {
            name,
            place,
            program,
        } => {
            let role: Role = place.parse().map_err(anyhow::Error::msg)?;
            let stdio = (io::stdin(), io::stdout(), io::stderr());
            let stdio = [stdio.0.as_fd(), stdio.1.as_fd(), stdio.2.as_fd()];
            let lab = kept::connect(&name)?;
            let status = exec::exec(&lab, &name, role, &program, stdio)?;
            Ok(Exit::Program(code(status)))
        }
        LabCommand::Programs {
            name,
            json,
            program,
        } => programs(&name, &program, json),
        LabCommand::LineCheck(args) => super::line_check::line_check(&args),
        LabCommand::Down { name } => {
            kept::down(&name)?;
            Ok(Exit::Done)
        }
    }
}

fn up(args: &LabUpArgs) -> anyhow::Result<Exit> {
    let datapath = datapath(args)?;
    if let Some(reason) = Capabilities::detect(&super::holder()?).missing(&datapath) {
        return Err(anyhow::Error::new(EnvironmentError(reason)));
    }
    let options = LabOptions {
        holder: super::holder()?,
    };
    let arms = [(args.name.clone(), datapath.clone())];
    let clock = SystemClock::start();
    kept::up(&args.name, &options, &arms, SEED)?;
    let took = tenths(Duration::from_nanos(clock.now_ns()));
    let endpoints = kept::connect(&args.name)?.endpoints(&args.name)?;
    let service = match (args.service, args.outside) {
        (Service::None, None) => String::new(),
        _ => format!(
            "Service: {} → {}:{}\n",
            endpoints.target, endpoints.server, endpoints.port
        ),
    };
    // From outside there is no way to the server but the service.
    let client = match args.outside {
        None => "iperf3 -c server".to_owned(),
        Some(_) => format!(
            "iperf3 -c service -p {} (server: iperf3 -s -p {})",
            endpoints.target.port(),
            endpoints.port
        ),
    };
    output::note(&format!(
        "Lab {name} stands after {took}: {datapath}.\n{service}Try: tollgate lab exec {name} client -- {client}\nEnd: tollgate lab down {name}",
        name = args.name,
    ));
    Ok(Exit::Done)
}

fn services(args: &LabUpArgs) -> anyhow::Result<Services> {
    ensure!(
        (1..=50_000).contains(&args.services),
        "--services takes 1 to 50000"
    );
    ensure!(
        (1..=100).contains(&args.endpoints),
        "--endpoints takes 1 to 100"
    );
    ensure!(
        args.access == Access::ClusterIp || args.services <= Services::MOST_NODE_PORTS,
        "--access node-port takes at most {} --services: nodes keep no more ports for them",
        Services::MOST_NODE_PORTS
    );
    let services = Services {
        count: args.services,
        endpoints: args.endpoints,
        affinity: args.affinity,
        access: args.access,
        ..Services::default()
    };
    ensure!(
        args.service != Service::None || services == Services::default(),
        "--services, --endpoints, --access and --affinity need a --service; choose for example iptables-legacy, nftables or tc-lb"
    );
    Ok(services)
}

fn datapath(args: &LabUpArgs) -> anyhow::Result<Datapath> {
    let services = services(args)?;
    ensure!(
        args.service != Service::TcLb || args.pods != Pods::Host,
        "tc-lb translates at a pod's veth pair; choose other --pods, or --service socket-lb"
    );
    ensure!(
        args.pods != Pods::Host || args.wire == Wire::Native,
        "--pods host uses the nodes' own addresses, which a tunnel never carries; choose --wire native"
    );
    ensure!(
        !args.pods.past_the_stack()
            || matches!(
                args.service,
                Service::None | Service::SocketLb | Service::TcLb
            ),
        "--pods {} passes by the node's netfilter, where {} would translate; choose --service socket-lb or --pods routed",
        args.pods,
        args.service
    );
    ensure!(
        !args.pods.past_the_stack() || !matches!(args.wire, Wire::Ipip | Wire::Wireguard),
        "--pods {} hands over frames, and {} devices carry none; choose --wire geneve or --pods routed",
        args.pods,
        args.wire
    );
    ensure!(
        args.pods != Pods::Host || args.place == Place::OtherNode,
        "--pods host has one address on each node, and {} would be its loopback device; choose --pods bridge",
        args.place
    );
    ensure!(
        args.place != Place::Hairpin || !matches!(args.service, Service::None | Service::TcLb),
        "--place hairpin is a pod that reaches itself through its own service, which {} doesn't carry; choose another \
         --service",
        args.service
    );
    let datapath = Datapath {
        pods: args.pods,
        wire: args.wire,
        service: args.service,
        services: (args.service != Service::None).then_some(services),
        family: args.family,
        offloads: args.offloads,
        place: args.place,
        outside: args.outside,
        ..Datapath::default()
    };
    if let Some((_, fault)) = datapath.against_outside().into_iter().next() {
        bail!(fault);
    }
    Ok(datapath)
}

/// Runs a program in the client's place and says what the lab's eBPF programs cost meanwhile.
fn programs(name: &Name, program: &[OsString], json: bool) -> anyhow::Result<Exit> {
    let lab = kept::connect(name)?;
    // The result alone goes to standard output.
    let stdio = (io::stdin(), io::stderr());
    let stdio = [stdio.0.as_fd(), stdio.1.as_fd(), stdio.1.as_fd()];
    let run = || exec::exec(&lab, name, Role::Client, program, stdio);
    let (costs, status) = lab.program_costs(name, run)?;
    let status = status?;
    if json {
        output::result(format!("{}\n", serde_json::to_string_pretty(&costs)?).as_bytes())?;
    } else if costs.is_empty() {
        output::result(format!("Lab {name} has no eBPF programs.\n").as_bytes())?;
    } else {
        let mut table = table(&["place", "program", "runs", "ns each"]);
        for cost in &costs {
            let each = cost.time_ns.checked_div(cost.runs);
            let each = each.map_or_else(|| "-".to_owned(), |each| each.to_string());
            table.add_row([
                cost.place.clone(),
                cost.program.clone(),
                cost.runs.to_string(),
                each,
            ]);
        }
        output::result(format!("{table}\n").as_bytes())?;
    }
    Ok(if status.success() {
        Exit::Done
    } else {
        Exit::Program(code(status))
    })
}

fn list(json: bool) -> anyhow::Result<Exit> {
    let labs = kept::list()?;
    if json {
        let names: Vec<&Name> = labs.iter().map(|lab| &lab.name).collect();
        output::result(format!("{}\n", serde_json::to_string_pretty(&names)?).as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut table = table(&["lab", "datapath"]);
    for lab in &labs {
        let arms: Vec<String> = lab
            .arms
            .iter()
            .map(|arm| arm.datapath.to_string())
            .collect();
        table.add_row([lab.name.to_string(), arms.join("; ")]);
    }
    let text = if labs.is_empty() {
        "No lab stands.\n".to_owned()
    } else {
        format!("{table}\n")
    };
    output::result(text.as_bytes())?;
    Ok(Exit::Done)
}

/// Returns a program's exit code, 128 + the signal's number as shells do where one ended it.
fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}

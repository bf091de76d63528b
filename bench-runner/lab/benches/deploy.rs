//! How long a lab takes to stand: four arms without services, as in the shipped quickstart, and twelve.

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_lab::{Lab, LabOptions};
use tollgate_results::arm::{Datapath, Name, Wire};

fn arms(criterion: &mut Criterion) {
    let options = LabOptions {
        holder: vec![env!("CARGO_BIN_EXE_lab-holder").into()],
    };
    let datapath = |wire| Datapath {
        wire,
        ..Datapath::default()
    };
    for (label, count) in [("four arms up", 4), ("twelve arms up", 12)] {
        let arms: Vec<(Name, Datapath)> = [Wire::Native, Wire::Vxlan]
            .into_iter()
            .cycle()
            .take(count)
            .enumerate()
            .filter_map(|(number, wire)| {
                Some((format!("arm-{number}").parse().ok()?, datapath(wire)))
            })
            .collect();
        criterion.bench_function(label, |bencher| {
            bencher.iter_with_large_drop(|| {
                let lab = Lab::start(&options).expect("this machine can start a lab");
                let stood = lab.deploy_all(&arms, 1).expect("the holder answers");
                for arm in stood {
                    arm.expect("this machine can deploy an arm");
                }
                lab
            });
        });
    }
}

criterion_group! {
    name = deploy;
    config = Criterion::default().sample_size(10);
    targets = arms
}
criterion_main!(deploy);

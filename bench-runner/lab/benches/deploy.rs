//! How long a lab takes to stand: four arms without services, as in the shipped quickstart.

use criterion::{Criterion, criterion_group, criterion_main};
use tollgate_lab::{Lab, LabOptions};
use tollgate_results::arm::{Datapath, Name, Wire};

fn four_arms(criterion: &mut Criterion) {
    let options = LabOptions {
        holder: vec![env!("CARGO_BIN_EXE_lab-holder").into()],
    };
    let datapath = |wire| Datapath {
        wire,
        ..Datapath::default()
    };
    let arms: Vec<(Name, Datapath)> = [Wire::Native, Wire::Vxlan, Wire::Native, Wire::Vxlan]
        .into_iter()
        .enumerate()
        .filter_map(|(number, wire)| Some((format!("arm-{number}").parse().ok()?, datapath(wire))))
        .collect();
    criterion.bench_function("four arms up", |bencher| {
        bencher.iter_with_large_drop(|| {
            let lab = Lab::start(&options).expect("this machine can start a lab");
            for (arm, datapath) in &arms {
                lab.deploy(arm, datapath, 1)
                    .expect("this machine can deploy an arm");
            }
            lab
        });
    });
}

criterion_group! {
    name = deploy;
    config = Criterion::default().sample_size(10);
    targets = four_arms
}
criterion_main!(deploy);

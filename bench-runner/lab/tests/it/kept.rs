//! Labs that live on under a name.

use std::path::Path;
use std::thread;

use tollgate_lab::{Lab, kept};
use tollgate_results::outcome::Protocol;

use crate::harness::{MAKER, echo, lab, name, native, options, ping, this, vxlan};

#[test]
fn a_kept_lab_outlives_its_maker_and_ends_when_told() {
    if lab().is_none() {
        return;
    }
    let runtime = tempfile::tempdir().unwrap();
    let socket = runtime.path().join("tollgate/demo.sock");
    let steps = Steps(runtime.path());
    assert!(steps.run("up"));
    assert!(socket.exists());
    assert!(steps.run("use"));
    assert!(steps.run("down"));
    assert!(!socket.exists());
}

/// Runs steps in processes of their own, and takes the lab down at last, whatever became of them.
struct Steps<'a>(&'a Path);

impl Steps<'_> {
    /// Returns whether the step went well.
    fn run(&self, step: &str) -> bool {
        let mut program = this();
        program.args(["--exact", "kept::step", "--nocapture", "--include-ignored"]);
        program.env("XDG_RUNTIME_DIR", self.0).env(MAKER, step);
        program.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Steps<'_> {
    fn drop(&mut self) {
        self.run("take down");
    }
}

/// One step of the test above, in a process of its own.
#[test]
#[ignore = "a step of a_kept_lab_outlives_its_maker_and_ends_when_told"]
fn step() {
    let demo = name("demo");
    match std::env::var(MAKER).as_deref() {
        Ok("up") => {
            let arms = [(name("native"), native()), (name("vxlan"), vxlan())];
            let facts = kept::up(&demo, &options(), &arms, 1).unwrap();
            assert_eq!(facts.len(), 2);
            let error = kept::up(&demo, &options(), &arms, 1).unwrap_err().chain();
            assert!(error.contains("up already"), "{error}");
        }
        Ok("use") => {
            let labs = kept::list().unwrap();
            let arms: Vec<_> = labs[0].arms.iter().map(|arm| arm.name.as_str()).collect();
            assert_eq!((labs.len(), arms), (1, vec!["native", "vxlan"]));
            let lab = kept::connect(&demo).unwrap();
            let other = kept::connect(&demo).unwrap();
            assert_eq!(
                lab.counters(&name("vxlan"))
                    .unwrap()
                    .conntrack_entries
                    .len(),
                2
            );
            assert_eq!(
                other.arms().unwrap().len(),
                2,
                "a second caller is served meanwhile"
            );
            one_of_two_that_deploy_the_same_name_is_refused(&lab, &other);
            let error = kept::connect(&name("demos")).unwrap_err().chain();
            assert!(error.contains("demo"), "{error}");
        }
        // Most often there is nothing left to take down.
        Ok("take down") => drop(kept::down(&demo)),
        Ok("down") => {
            kept::down(&demo).unwrap();
            assert!(kept::list().unwrap().is_empty());
            let error = kept::down(&demo).unwrap_err().chain();
            assert!(error.contains("tollgate lab up"), "{error}");
        }
        _ => {}
    }
}

/// Deploys an arm over two connections at once. The one that stands is whole.
fn one_of_two_that_deploy_the_same_name_is_refused(lab: &Lab, other: &Lab) {
    let twice = name("twice");
    let stood = thread::scope(|scope| {
        let deploying = [lab, other].map(|lab| scope.spawn(|| lab.deploy(&twice, &native(), 1)));
        deploying.map(|thread| thread.join().unwrap())
    });
    let refused: Vec<_> = stood.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let error = refused[0].chain();
    assert!(error.contains("one of this name already"), "{error}");
    let _echo = echo(lab, &twice);
    ping(lab, &twice, 3, Protocol::Tcp);
}

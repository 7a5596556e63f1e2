//! Where virsh has the same command, the output in a pipe is the same (`data/virsh/*` is what the real virsh 11.3
//! printed with `-q`).

mod common;

use common::{command, data, ran, run, test_default, virsh};

#[test]
fn commands_on_the_test_driver_print_what_virsh_prints() {
    for (args, expected) in [
        ("list", "list.txt"),
        ("list --active", "list.txt"),
        ("list --tree", "tree.txt"),
        ("list --tree --all", "tree.txt"),
        ("list --inactive", "list-inactive.txt"),
        ("list --persistent", "list-persistent.txt"),
        ("list --transient", "list-transient.txt"),
        ("list --all --cap vports,system", "list-cap.txt"),
        ("list --all --cap vports --cap system", "list-cap.txt"),
        ("info scsi_host11", "info.txt"),
        ("info computer", "info-computer.txt"),
        ("dumpxml scsi_host1", "dumpxml.txt"),
        ("dumpxml --inactive computer", "dumpxml-inactive.txt"),
    ] {
        let ran = test_default(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args}");
        assert_eq!(ran.stdout, virsh(expected), "{args}");
    }
}

#[test]
fn names_are_sorted_and_trees_drawn_as_virsh_does() {
    let uri = format!("test://{}", data("forest.xml").display());
    for (args, expected) in [("list", "forest-list.txt"), ("list --tree", "forest-tree.txt")] {
        let ran = run(&format!("--connect {uri} {args}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{args}");
        assert_eq!(ran.stdout, virsh(expected), "{args}");
    }
}

#[test]
fn xpath_prints_the_nodes_that_virsh_prints() {
    for expression in ["1", "2", "3", "5", "7", "8"] {
        let wanted = virsh(&format!("xpath-{expression}.expr"));
        for (wrap, expected) in [
            (None, format!("xpath-{expression}.txt")),
            (Some("--wrap"), format!("xpath-{expression}-wrap.txt")),
        ] {
            let mut command = command("-c test:///default dumpxml scsi_host1");
            command.args(["--xpath", wanted.trim_end()]).args(wrap);
            let ran = ran(&command.output().unwrap());
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{wanted}");
            assert_eq!(ran.stdout, virsh(&expected), "{wanted} {wrap:?}");
        }
    }
}

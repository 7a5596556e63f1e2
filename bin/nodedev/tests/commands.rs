//! What the commands print, how they fail, and the exit codes that `--help` lists.

mod common;

use std::io::{Read, Write};
use std::process::Stdio;

use common::{command, data, ran, run, test_default, virsh};

#[test]
fn several_devices_are_done_and_the_unknown_one_is_reported() {
    let ran = test_default("dumpxml nope scsi_host1");
    assert_eq!(ran.code, 3);
    assert_eq!(ran.stdout, virsh("dumpxml.txt"));
    assert!(ran.stderr.contains("no node device with matching name 'nope'"), "{}", ran.stderr);
    let ran = test_default("info nope");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    let ran = test_default("info computer computer");
    assert_eq!(ran.stdout, format!("{0}\n{0}", virsh("info-computer.txt")));
}

#[test]
fn an_unknown_name_is_answered_with_near_ones() {
    for command in ["dumpxml", "info", "show", "parent", "caps"] {
        let ran = test_default(&format!("{command} computr"));
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{command}");
        assert_eq!(
            ran.stderr,
            "error: Node device not found: no node device with matching name 'computr'\n\
             help: did you mean 'computer'?\n",
            "{command}"
        );
    }
}

#[test]
fn parameters_of_a_uri_that_mean_nothing_are_named() {
    let ran = run(
        "--connect nodedev+tls://host/system?tls_priority=NORMAL&no_sanity=1&pkipath=/does/not/exist list",
    );
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    let want = "warning: the parameter tls_priority of the URI has no effect here\n\
        warning: the parameter no_sanity of the URI has no effect here\n\
        error: Cannot read CA certificate '/does/not/exist/cacert.pem': No such file or directory\n";
    assert!(ran.stderr.starts_with(want), "{}", ran.stderr);
}

#[test]
fn errors_say_what_and_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().display().to_string();
    for (args, code, parts) in [
        (
            "--connect qemu:///system list",
            1,
            vec!["no connection driver available for qemu:///system", "nodedev:///system"],
        ),
        (
            "--connect nodedev:///system?socket=/does/not/exist list",
            1,
            vec!["Failed to connect socket to '/does/not/exist': No such file or directory", "help: "],
        ),
        ("--connect nodedev+unix://host/system list", 1, vec!["using unix socket and remote server 'host'"]),
        ("--connect test:///does/not/exist list", 1, vec!["/does/not/exist", "No such file or directory"]),
        (
            "--connect test:///default list --cap gpu",
            2,
            vec!["unknown capability type 'gpu'", "system, pci, usb_device"],
        ),
        ("--root /does/not/exist list", 1, vec!["/does/not/exist", "No such file or directory", "help: "]),
        (&format!("--root {empty} list"), 1, vec![&empty, "no folder sys", "help: "]),
        (&format!("--root {} list", data("forest.xml").display()), 1, vec!["forest.xml", "help: "]),
        ("--root nowhere list", 1, vec!["cannot open nowhere: No such file or directory"]),
        ("--root /a --connect test:///default list", 2, vec!["cannot be used with"]),
        ("list --tree --cap pci", 2, vec!["cannot be used with"]),
        ("list --all --inactive", 2, vec!["cannot be used with"]),
        ("dumpxml", 2, vec!["<NAME|--all>"]),
        ("dumpxml --all computer", 2, vec!["cannot be used with"]),
        ("lst", 2, vec!["list"]),
        ("format /does/not/exist", 1, vec!["cannot read /does/not/exist", "No such file"]),
        ("diff /does/not/exist /nor/this", 2, vec!["/does/not/exist"]),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{args}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: "), "{args}: {}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "{args}: no '{part}' in {}", ran.stderr);
        }
    }
}

#[test]
fn parents_and_capabilities() {
    let ran = test_default("parent scsi_host11 computer scsi_host2");
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "scsi_host1\n\ncomputer\n"));
    assert_eq!(test_default("caps scsi_host1").stdout, "scsi_host\n");
    assert_eq!(test_default("caps scsi_host1 computer").stdout, "scsi_host1 scsi_host\ncomputer system\n");
    let counts = test_default("caps").stdout;
    assert_eq!(counts.lines().count(), 24);
    for line in [
        "system               1",
        "scsi_host            3",
        "vports               2",
        "pci                  0",
    ] {
        assert!(counts.lines().any(|counted| counted == line), "{counts}");
    }
}

#[test]
fn every_document_goes_to_its_own_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b");
    let ran = test_default(&format!("dumpxml --all --output-dir {}", out.display()));
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
    let mut names: Vec<_> =
        out.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["computer.xml", "scsi_host1.xml", "scsi_host11.xml", "scsi_host2.xml"]);
    assert_eq!(std::fs::read_to_string(out.join("scsi_host1.xml")).unwrap(), virsh("dumpxml.txt"));
    let all = test_default("dumpxml --all").stdout;
    let files: String = names.iter().map(|name| std::fs::read_to_string(out.join(name)).unwrap()).collect();
    assert_eq!(all, files);
}

#[test]
fn a_name_that_is_a_path_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = folder.path().join("nodes.xml");
    std::fs::write(
        &nodes,
        "<node><device><name>../evil</name><capability type='net'><interface>x</interface></capability></device>\
         <device><name>good</name><capability type='net'><interface>x</interface></capability></device></node>",
    )
    .unwrap();
    let out = folder.path().join("out");
    let args = format!("-c test://{} dumpxml --all --output-dir {}", nodes.display(), out.display());
    let ran = run(&args);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("device '../evil' makes no file name"), "{}", ran.stderr);
    assert!(out.join("good.xml").exists());
    assert!(!folder.path().join("evil.xml").exists());
}

#[test]
fn json_of_everything_is_one_document_that_fits_its_schema() {
    let ran = test_default("show --all --json");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(shown["devices"].as_array().unwrap().len(), 4);
    assert_eq!(shown["issues"], serde_json::json!([]));
    assert_eq!(shown["devices"][2]["name"], "scsi_host11");
    assert_eq!(shown["devices"][2]["capabilities"][0]["fc_host"]["wwnn"], "2000000034563456");
    let one: serde_json::Value =
        serde_json::from_str(&test_default("show --json scsi_host11").stdout).unwrap();
    assert_eq!(one, serde_json::json!({"version": 1, "devices": [shown["devices"][2]]}));
    for (document, properties) in [
        ("show", &["devices", "issues"][..]),
        ("list", &["name", "type", "view"]),
        ("issues", &["path", "problem"]),
    ] {
        let schema: serde_json::Value =
            serde_json::from_str(&run(&format!("schema {document}")).stdout).unwrap();
        for property in properties {
            assert!(schema.to_string().contains(&format!("\"{property}\"")), "{document} {property}");
        }
    }
}

#[test]
fn the_schema_requires_what_is_always_written_and_nothing_else() {
    let schema: serde_json::Value = serde_json::from_str(&run("schema").stdout).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["version", "devices"]));
    let required = schema["$defs"]["NodeDevice"]["required"].as_array().unwrap();
    let shown: serde_json::Value =
        serde_json::from_str(&test_default("show --json computer").stdout).unwrap();
    for key in required {
        assert!(shown["devices"][0].get(key.as_str().unwrap()).is_some(), "{key}");
    }
    assert!(required.contains(&"name".into()) && required.contains(&"capabilities".into()));
    assert!(!required.contains(&"devlinks".into()), "left out where a device has none");
}

#[test]
fn list_as_json_has_the_same_devices_as_the_plain_list() {
    for options in ["", "--all", "--inactive", "--cap vports", "--extended", "--persistent"] {
        let json: Vec<serde_json::Value> =
            serde_json::from_str(&test_default(&format!("list --json {options}")).stdout).unwrap();
        let names: String =
            json.iter().map(|device| format!("{}\n", device["name"].as_str().unwrap())).collect();
        assert_eq!(names, test_default(&format!("list {options}")).stdout, "{options}");
    }
    assert_eq!(test_default("list --issues --json").stdout, "[]\n");
    assert_eq!(test_default("list --issues").stdout, "");
}

#[test]
fn format_prints_a_document_as_libvirt_would() {
    let untidy = virsh("dumpxml.txt").replace("\n  ", " ").replace('\'', "\"");
    let mut child = command("format -")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(untidy.as_bytes()).unwrap();
    let ran = ran(&child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, virsh("dumpxml.txt"));
}

#[test]
fn format_takes_what_calls_fill_in_where_it_is_told_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new.xml");
    let mdev = "<device><parent>pci_0000_00_02_0</parent><capability type='mdev'><type id='t-1'/></capability></device>";
    let vhba = "<device><parent>scsi_host3</parent><capability type='scsi_host'><capability type='fc_host'/></capability></device>";
    let disk = "<device><name>x</name><capability type='storage'><block>/dev/sda</block><size>0</size></capability></device>";
    for (document, purpose, code) in [
        (mdev, "", 1),
        (mdev, "--for create", 0),
        (mdev, "--for define", 0),
        (vhba, "", 1),
        (vhba, "--for create", 0),
        (vhba, "--for define", 1),
        (disk, "--for create", 1),
        (disk, "", 0),
    ] {
        std::fs::write(&file, document).unwrap();
        let ran = run(&format!("format {purpose} {}", file.display()));
        assert_eq!(ran.code, code, "{purpose} {document}: {}", ran.stderr);
        assert!(
            !ran.stdout.contains("<wwnn>5001a4a"),
            "a name that was made up is not printed: {}",
            ran.stdout
        );
    }
    // What is wrong is still told, with its place.
    std::fs::write(&file, mdev.replace("<type id='t-1'/>", "<uuid>x</uuid>")).unwrap();
    let ran = run(&format!("format --for create {}", file.display()));
    assert!(ran.code == 1 && ran.stderr.contains("2 mistakes"), "{}", ran.stderr);
}

#[test]
fn format_reports_every_mistake_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.xml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let name = file.display();
    write("<device>\n  <name>x</name>\n  <capability type='net'/>\n  <capability type='nope'/>\n</device>\n");
    let ran = run(&format!("format {name}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains(&format!("{name}:3:")), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{name}:4:")), "{}", ran.stderr);
    assert!(ran.stderr.contains("     4 |   <capability type='nope'/>\n       |   "), "{}", ran.stderr);
    assert!(ran.stderr.ends_with(&format!("2 mistakes in {name}\n")), "{}", ran.stderr);

    write("<device>\n  <name>x</nam>\n</device>\n");
    let ran = run(&format!("format {name}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    let mismatch = format!(
        "{name}:2:10: error: Opening and ending tag mismatch: name line 2 and nam\n     2 |   <name>x</nam>\n       |          ^\n"
    );
    assert!(ran.stderr.contains(&mismatch), "{}", ran.stderr);

    // Valid for the parser, which ignores what it does not know, and not for the schema.
    write(
        "<device>\n  <name>x</name>\n  <sound/>\n  <capability type='net'>\n    <interface>x</interface>\n  </capability>\n</device>\n",
    );
    assert_eq!(run(&format!("format {name}")).code, 0);
    let ran = run(&format!("format --validate {name}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains(&format!("{name}:3:")), "{}", ran.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = folder.path().join("nodes.xml");
    let device = |number| {
        format!(
            "<device><name>d{number}</name><capability type='net'><interface>x</interface></capability></device>"
        )
    };
    let text: String = (0..5000).map(device).collect();
    std::fs::write(&nodes, format!("<node>{text}</node>")).unwrap();
    for command_line in ["dumpxml --all", "show --all", "show --all --json", "list --json --all"] {
        let mut child = command(&format!("-c test://{} {command_line}", nodes.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        let mut pipe = child.stdout.take().unwrap();
        pipe.read_exact(&mut first).unwrap();
        drop(pipe);
        let ran = ran(&child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{command_line}");
    }
}

#[test]
fn help_lists_the_exit_codes_and_completion_scripts_exist_for_every_shell() {
    let help = run("--help").stdout;
    for line in ["0  done", "1  failed", "2  wrong usage", "3  done for some"] {
        assert!(help.contains(line), "{help}");
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&format!("completions {shell}"));
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        assert!(ran.stdout.contains("NODEDEV_COMPLETE"), "{shell}");
    }
    let mut ask = command("-- nodedev list --cap scsi_t");
    ask.env("NODEDEV_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "3").env("_CLAP_IFS", "\n");
    assert_eq!(ran(&ask.output().unwrap()).stdout, "scsi_target");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        command("-c test:///default dumpxml --all").stdout(full).stderr(Stdio::piped()).output().unwrap();
    let ran = ran(&output);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with("error: cannot write the output: No space left on device"),
        "{}",
        ran.stderr
    );
}

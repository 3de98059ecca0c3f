//! Who may ask for what on the control socket: by the user and the groups with which a client connected.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Builder, Daemon, Finished, output_of, program, require_root, require_tool, sluiced, stories};

stories!(
    each_may_do_what_its_groups_may,
    the_daemons_own_user_may_change_things,
    sluicectl_tells_what_it_takes,
    the_sockets_file_lets_the_groups_in,
    without_groups_a_wide_mode_lets_nobody_in,
    a_group_by_its_name,
    a_group_that_is_not_there_is_exit_1,
    a_group_that_the_daemon_is_not_in_is_exit_1,
    a_mode_that_keeps_a_group_out_is_told,
);

const ROUTE: &str = "
    [process.p]
    command = [\"sleep\", \"1000\"]

    [route.r]
    from = \"fifo:in\"
    to = \"null\"
    ";

/// Groups and a user that nobody has.
const WRITERS: u32 = 4_123_001;
const READERS: u32 = 4_123_002;
const OTHERS: u32 = 4_123_003;
const SOMEBODY: u32 = 4_123_004;

/// As whom a client connects: its primary group, and its supplementary ones.
#[derive(Clone, Copy, Debug)]
struct As(u32, &'static [u32]);

/// More groups than are asked for at first.
const MANY: [u32; 200] = [READERS; 200];

const WRITER: As = As(WRITERS, &[]);
const READER: As = As(READERS, &[]);
const STRANGER: As = As(OTHERS, &[OTHERS]);

fn ready() -> bool {
    require_root() && require_tool("setpriv") && require_tool("socat")
}

/// A config with these lines in `[control]`, in a directory that everybody may enter.
fn config(control: &str) -> Builder {
    let builder = Daemon::config(&format!("{ROUTE}\n[control]\n{control}\n"));
    set_mode(builder.place().home(), 0o755);
    builder
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

/// `setpriv` for a user and its groups.
fn setpriv(user: u32, As(primary, others): As) -> Vec<String> {
    let list: Vec<String> = others.iter().map(u32::to_string).collect();
    let groups = match list.as_slice() {
        [] => "--clear-groups".to_owned(),
        list => format!("--groups={}", list.join(",")),
    };
    let ids = [
        format!("--reuid={user}"),
        format!("--regid={primary}"),
        groups,
        "--".to_owned(),
    ];
    ["setpriv".to_owned()].into_iter().chain(ids).collect()
}

fn run_as(user: u32, who: As, words: &[&str]) -> Finished {
    let wrapper = setpriv(user, who);
    output_of(Command::new(&wrapper[0]).args(&wrapper[1..]).args(words))
}

/// Sends all requests over one connection and takes the replies.
fn converse(daemon: &Daemon, user: u32, who: As, requests: &[Value]) -> Vec<Value> {
    let file = daemon.file("requests");
    let text: String = requests.iter().map(|request| format!("{request}\0")).collect();
    std::fs::write(&file, text).expect("the requests");
    set_mode(&file, 0o644);
    let socket = format!("UNIX-CONNECT:{}", daemon.place().socket().display());
    let file = file.display().to_string();
    let script = "exec socat -t20 - \"$1\" < \"$2\"";
    let said = run_as(user, who, &["sh", "-c", script, "sh", &socket, &file]).expect_code(0);
    let replies = said.stdout.split_terminator('\0');
    replies
        .map(|reply| serde_json::from_str(reply).expect("JSON"))
        .collect()
}

fn request(method: &str) -> Value {
    let parameters = match method {
        "PauseRoute" | "ResumeRoute" | "DrainRoute" => json!({ "name": "r" }),
        "StartProcess" | "StopProcess" | "RestartProcess" => json!({ "name": "p" }),
        "SignalProcess" => json!({ "name": "p", "signal": "KILL" }),
        "Explain" => json!({ "route": "r" }),
        _ => json!({}),
    };
    json!({ "method": format!("io.sluiced.Relay.{method}"), "parameters": parameters, "more": method == "Monitor" })
}

/// What `NotPermitted` says is needed; `None` for a reply.
fn needed(reply: &Value) -> Option<&str> {
    let error = reply.get("error")?;
    assert_eq!(error, "io.sluiced.Relay.NotPermitted", "{reply}");
    Some(reply["parameters"]["need"].as_str().expect("what is needed"))
}

const ASKING: [&str; 4] = ["GetStatus", "ListRoutes", "ListProcesses", "Explain"];
const CHANGING: [&str; 10] = [
    "PauseRoute",
    "ResumeRoute",
    "DrainRoute",
    "StartProcess",
    "StopProcess",
    "RestartProcess",
    "SignalProcess",
    "Reload",
    "ReopenFiles",
    "Shutdown",
];
/// They change nothing that a story would not want changed.
const HARMLESS: [&str; 5] = ["PauseRoute", "ResumeRoute", "StartProcess", "ReopenFiles", "GetConfig"];

/// All of it on one connection, which goes on after each refusal; nothing of what is refused is done.
fn each_may_do_what_its_groups_may() {
    if !ready() {
        return;
    }
    let daemon = config(&format!("group = \"{WRITERS}\"\nread-group = \"{READERS}\"")).start();
    let pid = daemon.wait_for("process.p", "ready").int("pid");
    let info = json!({ "method": "org.varlink.service.GetInfo" });
    let refused_to_readers: Vec<&str> = CHANGING.into_iter().chain(["GetConfig"]).collect();
    let all: Vec<&str> = ASKING
        .into_iter()
        .chain(["Monitor"])
        .chain(refused_to_readers.clone())
        .collect();
    let requests = |methods: &[&str]| -> Vec<Value> {
        let asked = methods.iter().map(|method| request(method));
        asked.chain([info.clone()]).collect()
    };
    let table: [(As, &[&str], &[&str]); 9] = [
        (WRITER, &HARMLESS, &[]),
        (As(OTHERS, &[OTHERS, WRITERS]), &HARMLESS, &[]),
        (As(READERS, &[WRITERS]), &HARMLESS, &[]),
        (READER, &ASKING, &refused_to_readers),
        (As(OTHERS, &[1, 2, 3, READERS]), &ASKING, &refused_to_readers),
        (As(OTHERS, &MANY), &ASKING, &refused_to_readers),
        (STRANGER, &[], &all),
        // Root's group is not root.
        (As(0, &[0]), &[], &all),
        (As(OTHERS, &[]), &[], &all),
    ];
    for (who, allowed, refused) in table {
        let methods: Vec<&str> = refused.iter().chain(allowed).copied().collect();
        let replies = converse(&daemon, SOMEBODY, who, &requests(&methods));
        assert_eq!(replies.len(), methods.len() + 1, "{who:?} {replies:?}");
        for (method, reply) in methods.iter().zip(&replies) {
            let need = needed(reply);
            assert_eq!(need.is_some(), refused.contains(method), "{who:?} {method} {reply}");
            let named = |group: u32| need.is_none_or(|need| need.contains(&group.to_string()));
            assert!(named(WRITERS), "{method} {reply}");
            let asks = ASKING.contains(method) || *method == "Monitor";
            assert!(need.is_none() || named(READERS) == asks, "{method} {reply}");
        }
        assert_eq!(replies[methods.len()]["parameters"]["product"], "sluiced");
    }
    // A oneway call is refused without a word.
    let mut oneway = request("PauseRoute");
    oneway["oneway"] = json!(true);
    let replies = converse(&daemon, SOMEBODY, READER, &[oneway, request("ListRoutes")]);
    assert_eq!(replies.len(), 1, "{replies:?}");
    let reasons = replies[0]["parameters"]["routes"][0]["pauseReasons"].to_string();
    assert!(!reasons.contains("operator"), "{replies:?}");
    assert_eq!(daemon.wait_for("process.p", "ready").int("pid"), pid);
    daemon.finish();
}

/// A daemon that is not root's.
fn of_somebody(control: &str, groups: As) -> Builder {
    let builder = config(control);
    let program_of_all = builder.place().file("sluiced");
    std::fs::copy(program("sluiced"), &program_of_all).expect("a copy that everybody may execute");
    set_mode(builder.place().home(), 0o777);
    set_mode(&builder.place().runtime_directory(), 0o777);
    let mut wrapper = setpriv(SOMEBODY, groups);
    let script = "shift; exec \"$0\" \"$@\"";
    wrapper.extend(["sh", "-c", script, &program_of_all.display().to_string()].map(str::to_owned));
    let words: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    builder.wrapped_in(&words)
}

/// Its user, whatever the groups, and root.
fn the_daemons_own_user_may_change_things() {
    if !ready() {
        return;
    }
    let daemon = of_somebody("", STRANGER).start();
    for (user, who) in [(SOMEBODY, As(READERS, &[])), (0, As(0, &[]))] {
        let replies = converse(&daemon, user, who, &[request("PauseRoute"), request("ResumeRoute")]);
        let changed: Vec<&Value> = replies.iter().map(|reply| &reply["parameters"]["changed"]).collect();
        assert_eq!(changed, [true, true], "{replies:?}");
    }
    let there = std::fs::metadata(daemon.place().socket()).expect("the socket");
    assert_eq!((there.uid(), there.mode() & 0o7777), (SOMEBODY, 0o600));
    daemon.finish();
    let daemon = of_somebody("mode = \"0666\"", STRANGER).start();
    let replies = converse(&daemon, SOMEBODY + 1, STRANGER, &[request("PauseRoute")]);
    let expected = format!("root, user {SOMEBODY} (the daemon's own); `group` in [control] lets others in");
    assert_eq!(needed(&replies[0]), Some(expected.as_str()));
    daemon.finish();
}

/// `sluicectl`, where everybody may execute it.
fn ctl_as(daemon: &Daemon, who: As, words: &[&str]) -> Finished {
    let ctl = daemon.file("sluicectl");
    if !ctl.exists() {
        std::fs::copy(program("sluicectl"), &ctl).expect("a copy that everybody may execute");
        set_mode(&ctl, 0o755);
    }
    let (ctl, socket) = (ctl.display().to_string(), daemon.place().socket().display().to_string());
    let all: Vec<&str> = [ctl.as_str(), "--socket", &socket]
        .iter()
        .chain(words)
        .copied()
        .collect();
    run_as(SOMEBODY, who, &all)
}

fn sluicectl_tells_what_it_takes() {
    if !ready() {
        return;
    }
    let daemon = config(&format!("group = \"{WRITERS}\"\nread-group = \"{READERS}\"")).start();
    daemon.wait_for("process.p", "ready");
    for verb in [
        &["pause", "r"][..],
        &["signal", "p", "TERM"],
        &["shutdown"],
        &["config"],
        &["reopen"],
    ] {
        let said = ctl_as(&daemon, READER, verb).expect_code(1);
        let expected = format!("sluicectl: not permitted: it takes root or a member of group \"{WRITERS}\"\n");
        assert_eq!((said.stdout.as_str(), said.stderr), ("", expected), "{verb:?}");
    }
    for verb in [&["status"][..], &["why", "r"], &["events"]] {
        ctl_as(&daemon, READER, verb).expect_code(0);
        let said = ctl_as(&daemon, STRANGER, verb).expect_code(1);
        assert!(said.stderr.contains(&format!("{READERS:?}")), "{}", said.stderr);
    }
    ctl_as(&daemon, WRITER, &["pause", "r"]).expect_code(0);
    ctl_as(&daemon, WRITER, &["resume", "r"]).expect_code(0);
    daemon.finish();
}

/// unix(7): who may write to the socket's file can connect.
fn the_sockets_file_lets_the_groups_in() {
    if !ready() {
        return;
    }
    let (group, read) = (format!("group = \"{WRITERS}\""), format!("read-group = \"{READERS}\""));
    let table = [
        (group.clone(), WRITERS, 0o660, WRITER, READER),
        (read.clone(), READERS, 0o660, READER, WRITER),
        (
            format!("{group}\n{read}\nmode = \"0660\""),
            WRITERS,
            0o660,
            WRITER,
            READER,
        ),
        (format!("{group}\nmode = \"0620\""), WRITERS, 0o620, WRITER, READER),
    ];
    for (control, gid, mode, inside, outside) in table {
        let daemon = config(&control).start();
        let there = std::fs::symlink_metadata(daemon.place().socket()).expect("the socket");
        assert_eq!(
            (there.uid(), there.gid(), there.mode() & 0o7777),
            (0, gid, mode),
            "{control}"
        );
        ctl_as(&daemon, inside, &["status"]).expect_code(0);
        let said = ctl_as(&daemon, outside, &["status"]).expect_code(1);
        assert!(said.stderr.contains("not allowed to ask the daemon"), "{}", said.stderr);
        daemon.finish();
    }
    let daemon = config(&format!("{group}\n{read}")).start();
    let there = std::fs::symlink_metadata(daemon.place().socket()).expect("the socket");
    assert_eq!((there.gid(), there.mode() & 0o7777), (WRITERS, 0o666));
    daemon.finish();
}

/// The file's mode says who may connect, and no more.
fn without_groups_a_wide_mode_lets_nobody_in() {
    if !ready() {
        return;
    }
    let daemon = config("mode = \"0666\"").start();
    let replies = converse(
        &daemon,
        SOMEBODY,
        STRANGER,
        &[request("GetStatus"), request("Shutdown")],
    );
    let needs: Vec<Option<&str>> = replies.iter().map(needed).collect();
    let expected = [
        "root; `group` or `read-group` in [control] lets others in",
        "root; `group` in [control] lets others in",
    ];
    assert_eq!(needs, expected.map(Some), "{replies:?}");
    // A long message of a stranger's is not even read to its end.
    let long = json!({ "method": "io.sluiced.Relay.PauseRoute", "parameters": { "name": "r".repeat(20_000) } });
    let replies = converse(&daemon, SOMEBODY, STRANGER, &[long]);
    let text = replies[0]["parameters"]["text"].as_str().expect("a text");
    assert!(text.contains("16384 bytes"), "{text}");
    daemon.finish();
}

fn a_group_by_its_name() {
    if !ready() {
        return;
    }
    let daemon = config("group = \"daemon\"").start();
    let gid = nix::unistd::Group::from_name("daemon")
        .expect("the group database")
        .expect("daemon")
        .gid;
    let there = std::fs::symlink_metadata(daemon.place().socket()).expect("the socket");
    assert_eq!(there.gid(), gid.as_raw());
    daemon.finish();
}

/// Told at once, before anything is started; `--check` looks at no group.
fn a_group_that_is_not_there_is_exit_1() {
    for key in ["group", "read-group"] {
        let daemon = config(&format!("{key} = \"no-such-group\"")).launch();
        sluiced(&["--check", "--config", &daemon.place().config().display().to_string()]).expect_code(0);
        let log = daemon.expect_end(1);
        let expected = format!("there is no group \"no-such-group\"; create it, or correct `{key}` in [control]");
        assert!(log.contains(&expected), "{log}");
    }
}

/// chown(2): a group can be given by its members, and by root.
fn a_group_that_the_daemon_is_not_in_is_exit_1() {
    if !ready() {
        return;
    }
    let control = format!("group = \"{WRITERS}\"");
    let log = of_somebody(&control, STRANGER).launch().expect_end(1);
    let expected = format!("control.sock to group \"{WRITERS}\"; run the daemon as root or as a member of that group");
    assert!(
        log.contains(&expected) && log.contains("Operation not permitted"),
        "{log}"
    );
    let daemon = of_somebody(&control, As(OTHERS, &[WRITERS])).start();
    let there = std::fs::symlink_metadata(daemon.place().socket()).expect("the socket");
    assert_eq!(
        (there.uid(), there.gid(), there.mode() & 0o7777),
        (SOMEBODY, WRITERS, 0o660)
    );
    daemon.finish();
}

fn a_mode_that_keeps_a_group_out_is_told() {
    let own = nix::unistd::getegid();
    let daemon = config(&format!("group = \"{own}\"\nmode = \"0600\"")).start();
    let told = format!("`group` \"{own}\" of [control] cannot connect to the control socket: mode \"0600\"");
    daemon.wait_for_log(&told);
    let checked = sluiced(&["--check", "--config", &daemon.place().config().display().to_string()]).expect_code(0);
    assert!(
        checked.stderr.contains(&format!("warning: daemon: {told}")),
        "{}",
        checked.stderr
    );
    daemon.finish();
}

//! The control socket: what it answers.

use serde_json::{Value, json};

use crate::support::{Daemon, FifoReader, FifoWriter, Monitor, output_of, require_python_varlink, stories};

stories!(
    get_status_tells_what_runs,
    it_describes_itself,
    unknown_names_are_errors_with_parameters,
    bad_requests_are_answered_and_the_connection_goes_on,
    oneway_calls_get_no_reply,
    pipelined_calls_are_answered_in_order,
    lists_come_item_by_item_with_more,
    monitor_tells_in_order,
    monitor_keeps_to_its_subjects,
    get_config_is_what_runs,
    the_varlink_client_of_pypi_works,
);

const PLAIN: &str = "
    [process.p]
    command = [$PEER, \"hold\"]

    [route.a]
    from = \"fifo:in\"
    to = \"fifo:out\"

    [route.b]
    from = \"fifo:b-in\"
    to = \"null\"
    ";

fn get_status_tells_what_runs() {
    let daemon = Daemon::start(PLAIN);
    daemon.wait_for("process.p", "ready");
    let status = daemon.call("GetStatus", json!({})).expect("GetStatus");
    assert_eq!(status.int("pid"), u64::from(daemon.pid().unsigned_abs()));
    assert_eq!((status.int("generation"), status.int("life")), (1, 1));
    assert!(!status.text("version").is_empty());
    assert_eq!(status.object("processes").int("ready"), 1);
    let routes = status.object("routes");
    let counted: u64 = routes
        .0
        .as_object()
        .expect("counts")
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(counted, 2, "{status}");
    assert_eq!(status.field("configPaths"), &json!([daemon.place().config()]));
    let year_2024 = 1_704_067_200_000_000;
    assert!(status.int("startedAtUSec") > year_2024, "{status}");
}

/// varlink.org: org.varlink.service.
fn it_describes_itself() {
    let daemon = Daemon::start(PLAIN);
    let info = daemon.call("org.varlink.service.GetInfo", json!({})).expect("GetInfo");
    let interfaces = info.field("interfaces").as_array().expect("a list").clone();
    for name in ["org.varlink.service", "io.sluiced.Relay"] {
        assert!(interfaces.contains(&json!(name)), "{info}");
        let parameters = json!({ "interface": name });
        let description = daemon.call("org.varlink.service.GetInterfaceDescription", parameters);
        let description = description.expect("GetInterfaceDescription");
        assert!(
            description.text("description").contains(&format!("interface {name}")),
            "{description}"
        );
    }
    let unknown = daemon.call(
        "org.varlink.service.GetInterfaceDescription",
        json!({ "interface": "no.such" }),
    );
    assert_eq!(
        unknown.expect_err("no such interface").name,
        "org.varlink.service.InterfaceNotFound"
    );
}

fn unknown_names_are_errors_with_parameters() {
    let daemon = Daemon::start(PLAIN);
    let mut client = daemon.client();
    for method in ["ListRoutes", "PauseRoute", "ResumeRoute", "DrainRoute"] {
        let error = client.call(method, json!({ "name": "nope" })).expect_err(method);
        assert_eq!(error.name, "io.sluiced.Relay.NoSuchRoute", "{method}");
        assert_eq!(error.parameters.text("name"), "nope");
    }
    for method in ["ListProcesses", "StartProcess", "StopProcess", "RestartProcess"] {
        let error = client.call(method, json!({ "name": "" })).expect_err(method);
        assert_eq!(error.name, "io.sluiced.Relay.NoSuchProcess", "{method}");
    }
    let error = client
        .call("SignalProcess", json!({ "name": "x", "signal": "SIGTERM" }))
        .expect_err("no process x");
    assert_eq!(error.name, "io.sluiced.Relay.NoSuchProcess");
}

/// varlink.org: MethodNotFound, InterfaceNotFound, InvalidParameter.
fn bad_requests_are_answered_and_the_connection_goes_on() {
    let daemon = Daemon::start(PLAIN);
    let mut client = daemon.client();
    let service = |name: &str| format!("org.varlink.service.{name}");
    let error = client
        .call("io.sluiced.Relay.Nonsense", json!({}))
        .expect_err("no such method");
    assert_eq!(error.name, service("MethodNotFound"));
    let error = client
        .call("no.such.Interface.Method", json!({}))
        .expect_err("no such interface");
    assert_eq!(error.name, service("InterfaceNotFound"));
    for parameters in [
        json!({}),
        json!({ "name": 5 }),
        json!({ "name": null }),
        json!([1]),
        json!("x"),
    ] {
        let error = client
            .call("PauseRoute", parameters.clone())
            .expect_err("bad parameters");
        assert_eq!(error.name, service("InvalidParameter"), "{parameters}");
    }
    client.call("GetStatus", json!({})).expect("the connection goes on");
    // `parameters` may be missing.
    client.send(&json!({ "method": "io.sluiced.Relay.GetStatus" }));
    client.reply().expect("GetStatus without parameters");
}

fn oneway_calls_get_no_reply() {
    let daemon = Daemon::start(PLAIN);
    let mut client = daemon.client();
    client.send_call("PauseRoute", &json!({ "name": "b" }), &["oneway"]);
    client.send_call("NoSuchMethod", &json!({}), &["oneway"]);
    // The first reply is to this.
    let status = client.call("GetStatus", json!({})).expect("GetStatus");
    assert!(status.maybe_int("pid").is_some(), "{status}");
    assert!(daemon.route("b").reasons().contains(&"operator".to_owned()));
}

fn pipelined_calls_are_answered_in_order() {
    let daemon = Daemon::start(PLAIN);
    let mut client = daemon.client();
    let mut messages = Vec::new();
    for number in 0..200 {
        let name = if number % 2 == 0 {
            "a".to_owned()
        } else {
            format!("none-{number}")
        };
        let call = json!({ "method": "io.sluiced.Relay.ListRoutes", "parameters": { "name": name } });
        messages.extend(call.to_string().into_bytes());
        messages.push(0);
    }
    client.send_raw(&messages).expect("two hundred calls in one go");
    for number in 0..200 {
        match client.reply() {
            Ok(reply) => assert_eq!((number % 2, reply.list("routes")[0].text("name")), (0, "a")),
            Err(error) => assert_eq!(error.parameters.text("name"), format!("none-{number}")),
        }
    }
}

fn lists_come_item_by_item_with_more() {
    let daemon = Daemon::start(PLAIN);
    let replies = daemon.client().call_more("ListRoutes", json!({})).expect("ListRoutes");
    let names: Vec<String> = replies
        .iter()
        .map(|reply| reply.list("routes")[0].text("name").to_owned())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert!(replies.iter().all(|reply| reply.list("routes").len() == 1));
    let whole = daemon.call("ListRoutes", json!({})).expect("ListRoutes");
    assert_eq!(whole.list("routes").len(), 2);
}

fn monitor_tells_in_order() {
    let daemon = Daemon::start(PLAIN);
    daemon.wait_for("process.p", "ready");
    let mut monitor = daemon.monitor();
    let mut reader = FifoReader::open(daemon.fifo("out"));
    FifoWriter::open(daemon.fifo("in")).write_all(b"x");
    assert_eq!(reader.read_exact(1), b"x");
    daemon.wait_for("route.a", "flowing");
    assert!(daemon.changes("PauseRoute", json!({ "name": "a" })));
    let paused = monitor.wait_for("route_paused", "route:a");
    assert!(daemon.changes("ResumeRoute", json!({ "name": "a" })));
    let resumed = monitor.wait_for("route_resumed", "route:a");
    assert!(daemon.changes("StopProcess", json!({ "name": "p" })));
    let stopping = monitor.wait_for("process_stopping", "process:p");
    let exited = monitor.wait_for("process_exited", "process:p");
    let stopped = monitor.wait_for("process_stopped", "process:p");
    let events = [paused, resumed, stopping, exited, stopped];
    let numbers: Vec<u64> = events.iter().map(|event| event.int("seq")).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
    assert!(
        events
            .iter()
            .all(|event| event.int("atUSec") > 0 && event.field("detail").is_object())
    );
}

fn monitor_keeps_to_its_subjects() {
    let daemon = Daemon::start(PLAIN);
    let mut monitor = Monitor::subscribe(daemon.client(), &["route:b"]);
    for name in ["a", "b"] {
        assert!(daemon.changes("PauseRoute", json!({ "name": name })));
    }
    monitor.wait_for("route_paused", "route:b");
    assert_eq!(monitor.count("route_paused", "route:a"), 0, "{:?}", monitor.kinds());
}

fn get_config_is_what_runs() {
    let daemon = Daemon::start(PLAIN);
    let text = std::fs::read_to_string(daemon.place().config()).expect("the config");
    std::fs::write(daemon.place().config(), "not what runs").expect("another config");
    let files = daemon.call("GetConfig", json!({})).expect("GetConfig").list("files");
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].text("text"), text);
    assert_eq!(files[0].text("path"), daemon.place().config().display().to_string());
}

/// `python -m varlink.cli` from PyPI: info, help, call, call -m.
fn the_varlink_client_of_pypi_works() {
    let Some(python) = require_python_varlink() else { return };
    let daemon = Daemon::start(PLAIN);
    let address = format!("unix:{}", daemon.place().socket().display());
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&python);
        output_of(command.args(["-m", "varlink.cli"]).args(arguments))
            .expect_code(0)
            .stdout
    };
    assert!(run(&["info", &address]).contains("io.sluiced.Relay"));
    assert!(run(&["help", &format!("{address}/io.sluiced.Relay")]).contains("method GetStatus"));
    let status = run(&["call", &format!("{address}/io.sluiced.Relay.GetStatus"), "{}"]);
    assert!(status.contains("\"generation\""), "{status}");
    let routes = run(&["call", "-m", &format!("{address}/io.sluiced.Relay.ListRoutes"), "{}"]);
    assert_eq!(routes.matches("\"acceptedBytes\"").count(), 2, "{routes}");
}

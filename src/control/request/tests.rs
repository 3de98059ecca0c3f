use super::*;

fn error(message: &str) -> String {
    match read(message.as_bytes()).call {
        Err(error) => {
            let wire = error.to_wire();
            let name = wire.error.rsplit('.').next().unwrap_or_default().to_owned();
            let value = wire
                .parameters
                .values()
                .next()
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            format!("{name} {value}")
        }
        Ok(call) => format!("{call:?}"),
    }
}

fn relay(method: &str, parameters: &str) -> String {
    error(&format!(
        r#"{{"method":"io.sluiced.Relay.{method}","parameters":{parameters},"more":true}}"#
    ))
}

#[test]
fn what_is_wrong_with_a_message_is_said() {
    for (message, starts) in [
        ("", "Failed the message is not JSON"),
        ("{", "Failed the message is not JSON"),
        ("\u{1}\u{2}", "Failed the message is not JSON"),
        ("[]", "Failed the message is not a JSON object"),
        ("7", "Failed the message is not a JSON object"),
        ("null", "Failed the message is not a JSON object"),
        ("{}", "InvalidParameter method"),
        (r#"{"method":5}"#, "InvalidParameter method"),
        (r#"{"method":""}"#, "InterfaceNotFound "),
        (r#"{"method":"GetStatus"}"#, "InterfaceNotFound "),
        (r#"{"method":"a.b.C"}"#, "InterfaceNotFound a.b"),
        (
            r#"{"method":"io.sluiced.Relay.Nope"}"#,
            "MethodNotFound io.sluiced.Relay.Nope",
        ),
        (r#"{"method":"io.sluiced.Relay."}"#, "MethodNotFound io.sluiced.Relay."),
        (
            r#"{"method":"org.varlink.service.Nope"}"#,
            "MethodNotFound org.varlink.service.Nope",
        ),
        (
            r#"{"method":"io.sluiced.Relay.Upgrade","parameters":{"name":"x"}}"#,
            "InvalidParameter name",
        ),
        (r#"{"method":"io.sluiced.Relay.Monitor"}"#, "ExpectedMore "),
        (
            r#"{"method":"io.sluiced.Relay.GetStatus","parameters":[]}"#,
            "InvalidParameter parameters",
        ),
        (
            r#"{"method":"io.sluiced.Relay.GetStatus","more":1}"#,
            "InvalidParameter more",
        ),
        (
            r#"{"method":"io.sluiced.Relay.GetStatus","upgrade":true}"#,
            "InvalidParameter upgrade",
        ),
    ] {
        let got = error(message);
        assert!(got.starts_with(starts), "{message}: {got}");
    }
    let deep = "[".repeat(100_000);
    assert!(error(&deep).starts_with("Failed the message is not JSON"));
}

#[test]
fn what_is_wrong_with_a_parameter_is_named() {
    for (method, parameters, is) in [
        ("PauseRoute", "{}", "InvalidParameter name"),
        ("PauseRoute", r#"{"name":null}"#, "InvalidParameter name"),
        ("PauseRoute", r#"{"name":["a"]}"#, "InvalidParameter name"),
        ("PauseRoute", r#"{"name":"a","x":1}"#, "InvalidParameter x"),
        ("GetStatus", r#"{"x":1}"#, "InvalidParameter x"),
        (
            "DrainRoute",
            r#"{"name":"a","timeoutUSec":-1}"#,
            "InvalidParameter timeoutUSec",
        ),
        (
            "DrainRoute",
            r#"{"name":"a","timeoutUSec":1.5}"#,
            "InvalidParameter timeoutUSec",
        ),
        ("DrainRoute", r#"{"name":"a","wait":"yes"}"#, "InvalidParameter wait"),
        (
            "Monitor",
            r#"{"subjects":["daemon",5]}"#,
            "InvalidParameter subjects[1]",
        ),
        ("Monitor", r#"{"subjects":[]}"#, "InvalidParameter subjects"),
        (
            "Monitor",
            r#"{"subjects":["daemon","route:"]}"#,
            "InvalidParameter subjects[1]",
        ),
        ("Monitor", r#"{"subjects":["web"]}"#, "InvalidParameter subjects[0]"),
        ("PauseRoute", r#"{"name":""}"#, "NoSuchRoute "),
        ("StopProcess", r#"{"name":""}"#, "NoSuchProcess "),
        ("ListProcesses", r#"{"name":""}"#, "NoSuchProcess "),
    ] {
        assert_eq!(relay(method, parameters), is, "{method} {parameters}");
    }
}

#[test]
fn parameters_may_be_missing_or_null() {
    for message in [
        r#"{"method":"io.sluiced.Relay.ListRoutes"}"#,
        r#"{"method":"io.sluiced.Relay.ListRoutes","parameters":null}"#,
        r#"{"method":"io.sluiced.Relay.ListRoutes","parameters":{"name":null}}"#,
        r#"{"method":"io.sluiced.Relay.ListRoutes","parameters":{},"more":null,"later":[1]}"#,
    ] {
        assert_eq!(read(message.as_bytes()).call, Ok(Call::ListRoutes(None)), "{message}");
    }
}

#[test]
fn a_call_without_reply_does_not_wait() {
    let call = |oneway| {
        let text = format!(
            r#"{{"method":"io.sluiced.Relay.StopProcess","parameters":{{"name":"a"}},"oneway":{oneway},"more":true}}"#
        );
        let request = read(text.as_bytes());
        (request.oneway, request.more, request.call.map(|call| call.waits()))
    };
    assert_eq!(call(true), (true, false, Ok(false)));
    assert_eq!(call(false), (false, true, Ok(true)));
    assert!(read(br#"{"method":5,"oneway":true}"#).oneway);
    let reopen = |oneway| format!(r#"{{"method":"io.sluiced.Relay.ReopenFiles","oneway":{oneway}}}"#);
    for oneway in [true, false] {
        let call = read(reopen(oneway).as_bytes()).call;
        assert_eq!(call, Ok(Call::ReopenFiles { wait: !oneway }));
    }
}

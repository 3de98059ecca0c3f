use std::path::Path;
use std::time::Duration;

use sluiced::config::{self, Environment};
use sluiced::model::{ConfigFile, EndpointSpec, OnEof, Restart, SuccessExit, WhenGone};

use super::{good, process, route, told};

#[test]
fn keep_stdin_follows_restart_where_it_is_not_given() {
    let keep = |line: &str| good(&process(line)).processes[0].keep_stdin;
    assert!(keep(""));
    assert!(keep("restart = \"on-failure\""));
    assert!(!keep("restart = \"never\""));
    assert!(keep("restart = \"never\"\nkeep-stdin = true"));
    assert!(!keep("keep-stdin = false"));
}

#[test]
fn one_watermark_sets_the_other() {
    let marks = |line: &str| {
        let config = good(&route(line));
        let to = &config.routes[0].to[0];
        (to.high_watermark, to.low_watermark)
    };
    assert_eq!(marks(""), (65536, 16384));
    assert_eq!(marks("high-watermark = \"1MiB\""), (1 << 20, 1 << 18));
    assert_eq!(marks("low-watermark = 100"), (400, 100));
    assert_eq!(marks("high-watermark = 0"), (0, 0));
    assert_eq!(
        marks("low-watermark = 9223372036854775807"),
        (i64::MAX as u64, i64::MAX as u64)
    );
    assert_eq!(marks("high-watermark = 7\nlow-watermark = 7"), (7, 7));

    let config = good(
        "[route.r]\nfrom = \"fifo:a\"\nhigh-watermark = \"1MiB\"\nlow-watermark = \"512KiB\"\n\
         to = [\"fifo:b\", { fifo = \"c\", high-watermark = 1000 }, { null = true, low-watermark = 10 }]\n",
    );
    let marks: Vec<(u64, u64)> = config.routes[0]
        .to
        .iter()
        .map(|to| (to.high_watermark, to.low_watermark))
        .collect();
    assert_eq!(marks, [(1 << 20, 512 << 10), (1000, 250), (40, 10)]);
}

#[test]
fn a_process_is_what_its_table_says() {
    let config = good(
        "[process.a]\ncommand = [\"sh\", \"-c\", \"\"]\nworking-directory = \"/srv//x/\"\nenvironment = { B = \"2\", A = \"\" }\n\
         clear-environment = true\nautostart = false\nrestart = \"on-failure\"\nsuccess-exit = [3, \"SIGPIPE\"]\n\
         restart-delay = \"1ms\"\nrestart-delay-max = \"1min 30s\"\nstart-limit = { burst = 0 }\nstop-signal = \"SIGINT\"\n\
         stop-timeout = \"1.5s\"\nstdout = \"null\"\nuser = \"nobody\"\ngroup = \"7\"\numask = \"27\"\nnice = -20\n\
         no-new-privileges = true\nlimits = { core = \"0:infinity\", nofile = 1024 }\n",
    );
    let process = &config.processes[0];
    assert_eq!(process.command, ["sh", "-c", ""]);
    assert_eq!(process.working_directory.as_deref(), Some(Path::new("/srv/x")));
    assert_eq!(
        process.environment,
        [("B".to_owned(), "2".to_owned()), ("A".to_owned(), String::new())]
    );
    assert!(process.clear_environment && !process.autostart);
    assert_eq!(
        (process.user.as_deref(), process.group.as_deref()),
        (Some("nobody"), Some("7"))
    );
    assert_eq!((process.umask, process.nice), (Some(0o27), Some(-20)));
    assert!(process.no_new_privileges);
    let limits: Vec<_> = process
        .limits
        .iter()
        .map(|limit| (limit.resource.as_str(), limit.soft, limit.hard))
        .collect();
    assert_eq!(limits, [("core", Some(0), None), ("nofile", Some(1024), Some(1024))]);
    assert_eq!(process.restart, Restart::OnFailure);
    assert_eq!(
        process.success_exit,
        [SuccessExit::Code(3), SuccessExit::Signal("SIGPIPE".to_owned())]
    );
    assert_eq!(process.restart_delay, Duration::from_millis(1));
    assert_eq!(process.restart_delay_max, Duration::from_secs(90));
    assert_eq!(
        (process.start_limit.burst, process.start_limit.interval),
        (0, Duration::from_secs(10))
    );
    assert_eq!(
        (process.stop_signal.number, process.stop_signal.name.as_str()),
        (2, "SIGINT")
    );
    assert_eq!(process.stop_timeout, Duration::from_millis(1500));
}

#[test]
fn an_endpoint_is_a_text_or_a_table_with_settings() {
    let config = good(
        "[route.r]\nfrom = [{ fifo = \"in\", on-eof = \"hold\", create = false, mode = \"640\", owner = \"1000\", group = \"audio\", \
         pipe-size = \"1MiB\" }]\nto = [{ fifo = \"/x/out\", when-gone = \"close\" }, { file = \"/var/log/x\" }, \"null\", \"null\"]\n",
    );
    let route = &config.routes[0];
    let EndpointSpec::Fifo(fifo) = &route.from[0].endpoint else {
        panic!("{route:?}")
    };
    assert_eq!(fifo.path, Path::new("/run/sluiced/in"));
    assert_eq!((fifo.create, fifo.mode, fifo.pipe_size), (false, 0o640, Some(1 << 20)));
    assert_eq!(
        (fifo.owner.user.as_deref(), fifo.owner.group.as_deref()),
        (Some("1000"), Some("audio"))
    );
    assert_eq!(route.from[0].on_eof, OnEof::Hold);
    assert_eq!(route.to[0].when_gone, WhenGone::Close);
    let shown: Vec<String> = route.to.iter().map(|to| to.endpoint.to_string()).collect();
    assert_eq!(shown, ["fifo:/x/out", "file:/var/log/x", "null", "null"]);
}

#[test]
fn the_environment_says_where_the_daemon_is() {
    let environment = Environment {
        runtime_directory: None,
        xdg_runtime_dir: Some("/run/user/7".into()),
        cores: 3,
    };
    let parse = |text: &str| {
        let files = vec![ConfigFile {
            path: "a.toml".into(),
            text: text.to_owned(),
        }];
        config::parse(files, &environment).map(|(config, _)| config)
    };
    let config = parse("").unwrap();
    assert_eq!(config.daemon.runtime_directory, Path::new("/run/user/7/sluiced"));
    assert_eq!(config.control.socket, Path::new("/run/user/7/sluiced/control.sock"));
    assert_eq!((config.control.mode, config.daemon.relay_threads), (0o600, 3));
    let config =
        parse("[daemon]\nruntime-directory = \"/x/\"\nrelay-threads = 64\n[control]\nsocket = \"/y/s\"\n").unwrap();
    assert_eq!(config.daemon.runtime_directory, Path::new("/x"));
    assert_eq!(
        (config.control.socket.as_path(), config.daemon.relay_threads),
        (Path::new("/y/s"), 64)
    );
}

#[test]
fn a_socket_whose_path_does_not_fit_is_told_where_it_comes_from() {
    let name = |length: usize| format!("[control]\nsocket = \"/{}\"\n", "s".repeat(length - 1));
    assert!(told(&name(107)).is_empty());
    assert!(told(&name(108))[0].starts_with("2:10 the control socket's path has 108 bytes"));
    let directory = told(&format!("[daemon]\nruntime-directory = \"/{}\"\n", "d".repeat(100)));
    assert!(
        directory.len() == 1 && directory[0].starts_with("2:21 the control socket's path"),
        "{directory:?}"
    );
    let environment = Environment {
        runtime_directory: Some(format!("/{}", "d".repeat(100)).into()),
        xdg_runtime_dir: None,
        cores: 1,
    };
    let files = vec![ConfigFile {
        path: "a.toml".into(),
        text: String::new(),
    }];
    let told = config::parse(files, &environment).unwrap_err();
    assert_eq!(
        told.iter().next().map(|d| (d.line, d.file.as_str())),
        Some((0, "a.toml"))
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_move_nothing() {
    assert_eq!(told("\u{feff}x = 1\r\n[daemon]\r\n  y = 2\r\n").len(), 2);
    let told = told("\u{feff}x = 1\r\n[daemon]\r\n  y = 2\r\n");
    assert!(told[0].starts_with("1:1 ") && told[1].starts_with("3:3 "), "{told:?}");
}

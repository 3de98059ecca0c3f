use super::*;
use std::os::unix::net::{UnixDatagram, UnixStream};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_socket_has_its_mode_and_goes_with_its_listener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    for bits in [0o600, 0o660, 0o666] {
        let listener = listen(&path, bits, None).unwrap();
        assert_eq!(mode(&path), bits);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }
}

#[test]
fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    let living = listen(&path, 0o600, None).unwrap();
    assert!(matches!(listen(&path, 0o600, None), Err(ListenError::InUse(_))));
    UnixStream::connect(&path).unwrap();
    drop(living);
}

#[test]
fn a_living_socket_with_a_full_backlog_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let socket = new_socket().unwrap();
    socket::bind(socket.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    socket::listen(&socket, Backlog::new(0).unwrap()).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = new_socket().unwrap();
        match socket::connect(client.as_raw_fd(), &UnixAddr::new(&path).unwrap()) {
            Ok(()) => clients.push(client),
            Err(errno) => break assert_eq!(errno, Errno::EAGAIN),
        }
    }
    assert!(matches!(listen(&path, 0o600, None), Err(ListenError::InUse(_))));
}

#[test]
fn a_successors_socket_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let first = listen(&path, 0o600, None).unwrap();
    fs::remove_file(&path).unwrap();
    let second = listen(&path, 0o600, None).unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_is_named_and_left() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "x").unwrap();
    fs::create_dir(at("dir")).unwrap();
    std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
    let _datagram = UnixDatagram::bind(at("datagram")).unwrap();
    for name in ["file", "dir", "link", "datagram"] {
        let error = listen(&at(name), 0o600, None).unwrap_err();
        assert!(matches!(error, ListenError::NotASocket(_)), "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(fs::symlink_metadata(at(name)).is_ok());
    }
    assert!(matches!(
        listen(&at("no/s"), 0o600, None),
        Err(ListenError::NoDirectory(_))
    ));
    assert!(matches!(
        listen(&at("file/s"), 0o600, None),
        Err(ListenError::NoDirectory(_))
    ));
    assert!(matches!(
        listen(&at(&"l".repeat(120)), 0o600, None),
        Err(ListenError::TooLong(_))
    ));
}

#[test]
fn a_passed_socket_is_checked_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    drop(from_activation(UnixListener::bind(&path).unwrap().into()).unwrap());
    assert!(path.exists());
    let (stream, _other) = UnixStream::pair().unwrap();
    for wrong in [
        OwnedFd::from(stream),
        OwnedFd::from(UnixDatagram::unbound().unwrap()),
        OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()),
        OwnedFd::from(fs::File::open("/dev/null").unwrap()),
    ] {
        assert!(matches!(from_activation(wrong), Err(ListenError::NotListening)));
    }
}

#[test]
fn a_socket_is_given_to_its_group() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let group = |gid| Group {
        name: "g".to_owned(),
        gid,
    };
    let own = fs::metadata(directory.path()).unwrap().gid();
    let listener = listen(&path, 0o660, Some(&group(own))).unwrap();
    let there = fs::symlink_metadata(&path).unwrap();
    assert_eq!((there.gid(), mode(&path)), (own, 0o660));
    drop(listener);
    let given = listen(&path, 0o660, Some(&group(4_123_457)));
    if nix::unistd::geteuid().is_root() {
        let there = fs::symlink_metadata(&path).unwrap();
        assert_eq!((there.uid(), there.gid(), mode(&path)), (0, 4_123_457, 0o660));
    } else {
        assert!(matches!(given, Err(ListenError::Group { .. })), "{given:?}");
        // Nothing of it is left.
        assert!(!path.exists());
    }
}

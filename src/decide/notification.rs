//! What a child says by sd_notify(3). Pure.

use std::time::Duration;

/// One thing that it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// READY=1
    Ready,
    /// WATCHDOG=1
    Alive,
    /// WATCHDOG=trigger
    Hung,
    /// EXTEND_TIMEOUT_USEC=
    Extend(Duration),
    /// STATUS=; empty takes it back.
    Status(String),
}

/// The lines of a message that mean something here, in order. All others are passed over: what a manager does not know
/// is no error (STOPPING, RELOADING, MAINPID, FDSTORE, BARRIER and what is still to come).
#[must_use]
pub fn read(message: &[u8]) -> Vec<Said> {
    message.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Said> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (line.get(..at)?, line.get(at + 1..)?);
    match (key, value) {
        (b"READY", b"1") => Some(Said::Ready),
        (b"WATCHDOG", b"1") => Some(Said::Alive),
        (b"WATCHDOG", b"trigger") => Some(Said::Hung),
        (b"EXTEND_TIMEOUT_USEC", number) => {
            let usec = str::from_utf8(number).ok()?.parse().ok()?;
            Some(Said::Extend(Duration::from_micros(usec)))
        }
        // A text for people: what is no UTF-8 of it is shown as such.
        (b"STATUS", text) => Some(Said::Status(String::from_utf8_lossy(text).into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines() {
        let status = |text: &str| Said::Status(text.to_owned());
        let table: &[(&[u8], &[Said])] = &[
            (b"READY=1", &[Said::Ready]),
            (b"READY=1\n", &[Said::Ready]),
            (b"READY=0\nREADY=\nREADY=11\nready=1\n READY=1\nREADY=1 \nREADY", &[]),
            (b"STATUS=a=b\nREADY=1", &[status("a=b"), Said::Ready]),
            (b"STATUS=", &[status("")]),
            (b"STATUS=\xff", &[status("\u{fffd}")]),
            (b"WATCHDOG=1\nWATCHDOG=trigger\nWATCHDOG=2", &[Said::Alive, Said::Hung]),
            (
                b"EXTEND_TIMEOUT_USEC=1500000",
                &[Said::Extend(Duration::from_millis(1500))],
            ),
            (
                b"EXTEND_TIMEOUT_USEC=-1\nEXTEND_TIMEOUT_USEC=99999999999999999999\nEXTEND_TIMEOUT_USEC=",
                &[],
            ),
            (
                b"STOPPING=1\nRELOADING=1\nMONOTONIC_USEC=1\nMAINPID=1\nFDSTORE=1\nBARRIER=1\nX_MINE=1",
                &[],
            ),
            (b"", &[]),
            (b"\n\n=\n=1\0", &[]),
        ];
        for (message, said) in table {
            assert_eq!(read(message), *said, "{:?}", String::from_utf8_lossy(message));
        }
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&message);
        }
    }
}

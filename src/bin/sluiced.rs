//! The daemon; everything is in the library.

fn main() -> std::process::ExitCode {
    sluiced::daemon::main()
}

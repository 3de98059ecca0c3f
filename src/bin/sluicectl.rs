//! `sluicectl` asks the daemon and tells it what to do.
fn main() -> std::process::ExitCode {
    sluiced::cli::main()
}

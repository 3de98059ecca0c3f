//! A route and what it is told: commands that come at once, which no story can bring about at will.
#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sluiced::config::{self, Environment};
use sluiced::endpoint::ends::Taken;
use sluiced::model::{CloseCause, ConfigFile, Moment, RouteSpec};
use sluiced::relay::{self, Command, DestinationCommand, Leave, RelayThread, SourceCommand};
use sluiced::store::Store;
use sluiced::sys::clock;
use tokio::sync::oneshot;

/// The only route of a config.
fn route(text: &str) -> Arc<RouteSpec> {
    let file = ConfigFile {
        path: PathBuf::from("test.toml"),
        text: text.to_owned(),
    };
    let (config, _) = config::parse(vec![file], &Environment::of_this_process()).unwrap();
    Arc::clone(&config.routes[0])
}

async fn within_a_while<T>(answer: oneshot::Receiver<T>) -> T {
    let answer = tokio::time::timeout(Duration::from_secs(20), answer);
    answer.await.expect("an answer").expect("and not its end")
}

/// Resume, StartProcess: who asks for it does not know that the route is closed for a reload just now.
#[tokio::test]
async fn a_route_that_is_closed_for_good_is_not_opened_again() {
    let text = "[process.p]\ncommand = [\"cat\"]\n[process.c]\ncommand = [\"cat\"]\n\
                [route.a]\nfrom = \"process:p.stdout\"\nto = \"process:c.stdin\"\n";
    type Reopen = fn(&relay::RouteHandle);
    let resume: Reopen = |route| route.send(Command::Resume(oneshot::channel().0));
    let source: Reopen = |route| route.send(Command::Source("process:p.stdout".into(), SourceCommand::Revive));
    let destination: Reopen = |route| {
        let name = "process:c.stdin".into();
        route.send(Command::Destination(name, DestinationCommand::Revive));
    };
    for reopen in [resume, source, destination] {
        let (reports, _notices) = relay::reports();
        let thread = RelayThread::start(0, Arc::new(Taken::default()), Store::default(), reports).unwrap();
        let route = thread.relay(route(text));
        let (reply, left) = oneshot::channel();
        route.send(Command::Abort(CloseCause::Aborted, oneshot::channel().0));
        route.send(Command::Close(Leave {
            deadline: Moment(clock::now().0 + 3_600_000_000),
            go_on: HashSet::new(),
            others_come: false,
            reply,
        }));
        reopen(&route);
        within_a_while(left).await;
    }
}

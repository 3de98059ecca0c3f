//! From a story's config to the file that the daemon reads.

use std::path::Path;

/// The text with what the harness adds:
///
/// - `$PEER` becomes the scripted peer program and its first argument, as TOML strings: `command = [$PEER, "hold"]`;
/// - `$DIR` becomes the private directory, for files that are not in the runtime directory: `"file:$DIR/out"`;
/// - `[daemon]` gets `runtime-directory`, and a `drain-timeout` if it has none.
///
/// The daemon itself expands nothing, so no story needs a `$` of its own.
pub fn complete(story: &str, home: &Path, runtime_directory: &Path, peer: &str) -> String {
    let exe = std::env::current_exe().expect("the path of this executable");
    let program = format!("{}, {}", toml_string(&exe.display().to_string()), toml_string(peer));
    let story = story
        .replace("$PEER", &program)
        .replace("$DIR", &home.display().to_string());
    let mut added = format!(
        "runtime-directory = {}\n",
        toml_string(&runtime_directory.display().to_string())
    );
    if !story.contains("drain-timeout") {
        added.push_str("drain-timeout = \"5s\"\n");
    }
    match story.find("[daemon]") {
        Some(at) => {
            let after = at + "[daemon]".len();
            format!("{}\n{added}{}", &story[..after], &story[after..])
        }
        None => format!("[daemon]\n{added}\n{story}"),
    }
}

fn toml_string(text: &str) -> String {
    format!("{text:?}")
}

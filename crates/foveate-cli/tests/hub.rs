//! Downloads, against a hub of a few files on this machine. Compiled with the feature `hub`.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use common::{assert_refused, foveate, golden, object, run, stderr, stdout};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has and what it was asked.
#[derive(Default)]
struct Shelf {
    /// `repository/file` → content.
    files: BTreeMap<String, Vec<u8>>,
    /// Needed by every request, if any.
    token: Option<&'static str>,
    /// The answer that breaks off after this many bytes of its body: file name and bytes.
    broken: Option<(&'static str, usize)>,
    /// `GET name range`, for every body that was sent.
    bodies: Vec<String>,
}

/// A hub that forgets itself when the test ends.
struct Server {
    shelf: Arc<Mutex<Shelf>>,
    endpoint: String,
    home: tempfile::TempDir,
}

impl Server {
    /// Has the tiny LLaDA-V as `org/tiny` and its tower.
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let shared = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                serve(stream, &shared);
            }
        });
        let home = tempfile::tempdir().expect("a temporary folder");
        let server = Self {
            shelf,
            endpoint,
            home,
        };
        server.add("org/tiny", "llada-v-tiny-a");
        server.add("siglip2-tiny-patch14-84", "siglip2-tiny-patch14-84");
        server
    }

    fn shelf<T>(&self, change: impl FnOnce(&mut Shelf) -> T) -> T {
        change(&mut self.shelf.lock().expect("not poisoned"))
    }

    fn add(&self, repository: &str, folder: &str) {
        for entry in fs::read_dir(golden("checkpoints").join(folder)).expect("golden data") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .expect("named")
                .to_string_lossy()
                .into_owned();
            let content = fs::read(&path).expect("readable");
            self.shelf(|shelf| shelf.files.insert(format!("{repository}/{name}"), content));
        }
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("hub/models--org--tiny")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = foveate();
        for name in [
            "HF_HUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "HF_TOKEN",
            "HF_TOKEN_PATH",
        ] {
            command.env_remove(name);
        }
        for name in [
            "http_proxy",
            "HTTP_PROXY",
            "all_proxy",
            "ALL_PROXY",
            "HF_HUB_OFFLINE",
        ] {
            command.env_remove(name);
        }
        command
            .env("HF_HOME", self.home.path())
            .env("HF_ENDPOINT", &self.endpoint);
        command.args(arguments);
        command
    }

    fn inspect(&self) -> Command {
        self.command(&["inspect", "-m", "org/tiny", "--json"])
    }

    fn bodies(&self) -> Vec<String> {
        self.shelf(|shelf| std::mem::take(&mut shelf.bodies))
    }
}

/// One request per connection.
fn serve(mut stream: TcpStream, shelf: &Mutex<Shelf>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
    let mut line = || lines.next().and_then(Result::ok).unwrap_or_default();
    let request = line();
    let mut headers = BTreeMap::new();
    loop {
        let header = line();
        let Some((name, value)) = header.split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut words = request.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let path = words
        .next()
        .unwrap_or_default()
        .trim_start_matches('/')
        .to_owned();
    let mut shelf = shelf.lock().expect("not poisoned");
    let answer = answer(&mut shelf, &method, &path, &headers);
    drop(shelf);
    // A client that has what it wants may leave.
    let _ = stream.write_all(&answer);
}

fn answer(
    shelf: &mut Shelf,
    method: &str,
    path: &str,
    headers: &BTreeMap<String, String>,
) -> Vec<u8> {
    let nothing = |status: &str, reason: &str| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nx-error-code: {reason}\r\n");
        format!("{head}connection: close\r\n\r\n").into_bytes()
    };
    let wanted = shelf.token.map(|token| format!("Bearer {token}"));
    if wanted.is_some() && headers.get("authorization") != wanted.as_ref() {
        return nothing("401 Unauthorized", "GatedRepo");
    }
    let Some((repository, rest)) = path.split_once("/resolve/") else {
        return nothing("404 Not Found", "RepoNotFound");
    };
    let Some((revision, name)) = rest.split_once('/') else {
        return nothing("404 Not Found", "RevisionNotFound");
    };
    if !shelf
        .files
        .keys()
        .any(|file| file.starts_with(&format!("{repository}/")))
    {
        return nothing("404 Not Found", "RepoNotFound");
    }
    if !["main", "v1", COMMIT].contains(&revision) {
        return nothing("404 Not Found", "RevisionNotFound");
    }
    let Some(content) = shelf.files.get(&format!("{repository}/{name}")) else {
        return nothing("404 Not Found", "EntryNotFound");
    };
    let range = headers.get("range").cloned().unwrap_or_default();
    let start = range
        .trim_start_matches("bytes=")
        .trim_end_matches('-')
        .parse()
        .unwrap_or(0);
    let status = if start > 0 {
        "206 Partial Content"
    } else {
        "200 OK"
    };
    let etag = format!("{:x}-{}", content.len(), name.len());
    let (end, size) = (content.len().saturating_sub(1), content.len());
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nx-repo-commit: {COMMIT}\r\netag: \"{etag}\"\r\n\
         content-range: bytes {start}-{end}/{size}\r\nconnection: close\r\n\r\n",
        size - start
    )
    .into_bytes();
    if method == "GET" {
        let mut body = &content[start..];
        if let Some((_, length)) = shelf.broken.take_if(|(broken, _)| *broken == name) {
            body = &body[..length];
        }
        bytes.extend_from_slice(body);
        shelf.bodies.push(format!("GET {name} {range}"));
    }
    bytes
}

#[test]
fn a_model_is_downloaded_once_with_exactly_its_files() {
    let server = Server::new();
    let report = object(&mut server.inspect());
    assert_eq!(report["family"], "llada-v");
    let mut bodies = server.bodies();
    bodies.sort();
    let expected = [
        "GET config.json ",
        "GET config.json ",
        "GET generation_config.json ",
        "GET model.safetensors ",
        "GET preprocessor_config.json ",
        "GET tokenizer.json ",
        "GET tokenizer_config.json ",
    ];
    assert_eq!(bodies, expected, "two configs: the model's and its tower's");
    let reference = fs::read_to_string(server.repository().join("refs/main")).expect("written");
    assert_eq!(reference, COMMIT);
    let snapshot = server.repository().join("snapshots").join(COMMIT);
    let original = golden("checkpoints/llada-v-tiny-a/model.safetensors");
    let same = fs::read(snapshot.join("model.safetensors")).expect("there");
    assert_eq!(same, fs::read(original).expect("golden data"));

    object(&mut server.inspect());
    assert_eq!(server.bodies(), [""; 0], "all of it is in the cache");
    let answer = run(server
        .command(&["run", "-m", "org/tiny", "-i", "Hi", "--gen-length", "4"])
        .env("HF_ENDPOINT", "http://127.0.0.1:1"));
    assert!(
        answer.status.success(),
        "no hub is needed: {}",
        stderr(&answer)
    );
}

#[test]
fn a_tokenizer_in_parts_is_downloaded_in_parts() {
    let server = Server::new();
    let whole = server.shelf(|shelf| shelf.files.remove("org/tiny/tokenizer.json"));
    let missing = server.inspect().output().expect("it starts");
    assert!(stderr(&missing).contains("neither tokenizer.json nor vocab.json"));
    let whole: serde_json::Value =
        serde_json::from_slice(&whole.expect("golden data")).expect("JSON");
    let pairs = whole["model"]["merges"].as_array().expect("a list");
    let pair = |pair: &serde_json::Value| {
        let side = |i: usize| pair[i].as_str().expect("a text").to_owned();
        format!("{} {}\n", side(0), side(1))
    };
    let merges: String = pairs.iter().map(pair).collect();
    server.shelf(|shelf| {
        let vocabulary = whole["model"]["vocab"].to_string();
        shelf
            .files
            .insert("org/tiny/vocab.json".into(), vocabulary.into_bytes());
        shelf
            .files
            .insert("org/tiny/merges.txt".into(), merges.into_bytes());
    });
    let report = object(&mut server.inspect());
    assert_eq!(report["family"], "llada-v");
    object(&mut server.inspect());
    server.bodies();
    object(&mut server.inspect());
    assert_eq!(server.bodies(), [""; 0], "all of it is in the cache");
}

#[test]
fn an_interrupted_download_continues_where_it_stopped() {
    let server = Server::new();
    server.shelf(|shelf| shelf.broken = Some(("model.safetensors", 1000)));
    object(&mut server.inspect());
    let bodies = server.bodies();
    assert!(
        bodies.contains(&"GET model.safetensors bytes=1000-".to_owned()),
        "{bodies:?}"
    );

    // What an earlier program left is continued too.
    let server = Server::new();
    let size = server.shelf(|shelf| shelf.files["org/tiny/tokenizer.json"].len());
    let blobs = server.repository().join("blobs");
    fs::create_dir_all(&blobs).expect("made");
    let start = server.shelf(|shelf| shelf.files["org/tiny/tokenizer.json"][..77].to_vec());
    let partial = blobs.join(format!("{size:x}-{}.incomplete", "tokenizer.json".len()));
    fs::write(partial, start).expect("written");
    object(&mut server.inspect());
    let bodies = server.bodies();
    assert!(
        bodies.contains(&"GET tokenizer.json bytes=77-".to_owned()),
        "{bodies:?}"
    );
    let names: Vec<_> = fs::read_dir(blobs)
        .expect("there")
        .map(|e| e.expect("entry").path())
        .collect();
    assert!(
        names.iter().all(|name| name.extension().is_none()),
        "{names:?}"
    );
}

#[test]
fn shards_are_those_that_the_index_names() {
    let server = Server::new();
    server.shelf(|shelf| {
        let weights = shelf
            .files
            .remove("org/tiny/model.safetensors")
            .expect("there");
        let names = names_of(&weights);
        let map: BTreeMap<String, &str> = names
            .into_iter()
            .map(|n| (n, "model-00001-of-00001.safetensors"))
            .collect();
        let index = serde_json::json!({"weight_map": map})
            .to_string()
            .into_bytes();
        shelf
            .files
            .insert("org/tiny/model.safetensors.index.json".into(), index);
        shelf
            .files
            .insert("org/tiny/model-00001-of-00001.safetensors".into(), weights);
        shelf.files.insert(
            "org/tiny/model-00002-of-00002.safetensors".into(),
            vec![0; 9],
        );
    });
    assert_eq!(object(&mut server.inspect())["parameters"], 675_840);
    let weights = |body: &String| body.contains("safetensors ");
    let loaded: Vec<String> = server.bodies().into_iter().filter(weights).collect();
    assert_eq!(loaded, ["GET model-00001-of-00001.safetensors "]);
}

/// Tensor names in the header of a safetensors file.
fn names_of(file: &[u8]) -> Vec<String> {
    let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&file[8..8 + length]).expect("JSON");
    header
        .as_object()
        .expect("an object")
        .keys()
        .filter(|k| *k != "__metadata__")
        .cloned()
        .collect()
}

#[test]
fn an_index_cannot_name_files_outside_the_model() {
    let server = Server::new();
    server.shelf(|shelf| {
        shelf.files.remove("org/tiny/model.safetensors");
        let index = br#"{"weight_map": {"a": "../../evil.safetensors"}}"#.to_vec();
        shelf
            .files
            .insert("org/tiny/model.safetensors.index.json".into(), index);
    });
    assert_refused(&mut server.inspect(), 1, "a file name without a folder");
}

#[test]
fn a_revision_can_follow_the_name_and_must_exist() {
    let server = Server::new();
    let at = |name: &str| server.command(&["inspect", "-m", name, "--json"]);
    object(&mut at("org/tiny@v1"));
    assert!(server.repository().join("refs/v1").is_file());
    assert!(!server.repository().join("refs/main").exists());
    assert_refused(&mut at("org/tiny@v2"), 1, "no org/tiny at v2");
    assert_refused(&mut at("org/none"), 1, "no org/none at main (status 404)");
    assert_refused(
        at("org/tiny@v1").args(["--revision", "main"]),
        2,
        "give one",
    );
}

#[test]
fn a_token_opens_what_is_closed() {
    let server = Server::new();
    server.shelf(|shelf| shelf.token = Some("secret"));
    assert_refused(&mut server.inspect(), 1, "set HF_TOKEN");
    assert_refused(
        server.inspect().env("HF_TOKEN", "wrong"),
        1,
        "with this HF_TOKEN (status 401)",
    );
    object(server.inspect().env("HF_TOKEN", "secret"));
    // As `hf auth login` stores it.
    let server = Server::new();
    server.shelf(|shelf| shelf.token = Some("secret"));
    fs::write(server.home.path().join("token"), "secret\n").expect("written");
    object(&mut server.inspect());
}

#[test]
fn without_a_network_the_error_says_what_to_do() {
    let server = Server::new();
    let mut nobody = server.inspect();
    assert_refused(
        nobody.env("HF_ENDPOINT", "http://127.0.0.1:1"),
        1,
        "cannot reach http://127.0.0.1:1",
    );
    assert_refused(
        server.inspect().arg("--offline"),
        1,
        "run once without --offline",
    );
    assert_refused(
        server.inspect().env("HF_HUB_OFFLINE", "yes"),
        1,
        "without HF_HUB_OFFLINE",
    );
    assert_eq!(server.bodies(), [""; 0]);
    assert!(!Path::new(&server.repository()).exists());
}

#[test]
fn progress_stays_off_standard_output() {
    let server = Server::new();
    let output =
        run(&mut server.command(&["run", "-m", "org/tiny", "-i", "Hi", "--gen-length", "4"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).lines().count(), 1);
}

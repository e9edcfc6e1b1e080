use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A configuration file that goes away with the test.
struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("tercet-cli-{name}-{}", std::process::id());
        let file = TestFile(std::env::temp_dir().join(name));
        std::fs::write(&file.0, text).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn parse(arguments: &[&str]) -> Command {
    let arguments = ["tercet"].iter().chain(arguments);
    Cli::try_parse_from(arguments).map(|cli| cli.command).unwrap()
}

fn serve(arguments: &[&str]) -> anyhow::Result<Config> {
    match parse(&[&["serve"], arguments].concat()) {
        Command::Serve(serve) => serve.into_config(),
        _ => panic!("not serve"),
    }
}

fn token(arguments: &[&str]) -> anyhow::Result<MintedToken> {
    match parse(&[&["token", "--room", "stage", "--identity", "alice"], arguments].concat()) {
        Command::Token(token) => token.mint(),
        _ => panic!("not token"),
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn serve_without_flags_has_the_defaults() {
    assert_eq!(serve(&[]).unwrap(), Config::default());
}

#[test]
fn every_flag_reaches_its_key() {
    let config = serve(&[
        "--http=[::1]:1",
        "--media-udp=127.0.0.1:2",
        "--media-udp",
        "[::1]:2,127.0.0.1:9002",
        "--tls-cert=http.pem",
        "--tls-key=http.key",
        "--media-tcp=127.0.0.1:3",
        "--public-ip=203.0.113.7",
        "--media-udp-public=[2001:db8::7]:4",
        "--media-tcp-public=203.0.113.7:5",
        "--turn=turn:a:3478,turns:a:5349",
        "--turn-secret=hush",
        "--workers=5",
        "--log=debug",
        "--log-json",
        "--demo=false",
        "--secret",
        SECRET,
        "--public-key-file=key.pem",
        "--allowed-origin=https://a.example",
        "--http-proxy=10.0.0.7/32",
        "--slots=6",
        "--pre-roll-ms=40",
        "--participants-max=7",
        "--listed-listeners-max=0",
        "--together-max=4",
        "--sessions-max=8",
        "--shutdown-ms=9",
    ])
    .unwrap();
    let expected: Config = toml::from_str(&format!(
        "http = '[::1]:1'\n media_udp = ['127.0.0.1:2', '[::1]:2', '127.0.0.1:9002']\n\
         media_tcp = ['127.0.0.1:3']\n public_ip = ['203.0.113.7']\n\
         media_udp_public = ['[2001:db8::7]:4']\n media_tcp_public = ['203.0.113.7:5']\n workers = 5\n demo = false\n\
         allowed_origins = ['https://a.example']\n http_proxies = ['10.0.0.7/32']\n shutdown_ms = 9\n\
         log = {{ filter = 'debug', json = true }}\n\
         tls = {{ certificate = 'http.pem', key = 'http.key' }}\n\
         turn = {{ urls = ['turn:a:3478', 'turns:a:5349'], secret = 'hush' }}\n\
         access = {{ secret = '{SECRET}', public_key_file = 'key.pem' }}\n\
         room = {{ slots = 6, pre_roll_ms = 40, participants_max = 7, listed_listeners_max = 0, together_max = 4 }}\n\
         limits = {{ sessions_max = 8 }}\n"
    ))
    .unwrap();
    assert_eq!(config, expected);
}

#[test]
fn every_flag_of_acme_reaches_its_key() {
    let config = serve(&[
        "--tls-acme=a.example,b.example",
        "--tls-acme-contact=mailto:ops@a.example",
        "--tls-acme-cache=/var/lib/acme",
    ]);
    let expected: Config = toml::from_str(
        "tls = { acme = ['a.example', 'b.example'], acme_contact = ['mailto:ops@a.example'], \
         acme_cache = '/var/lib/acme' }",
    )
    .unwrap();
    assert_eq!(config.unwrap(), expected);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file = TestFile::new("layers", "workers = 2\n[log]\njson = true\nfilter = 'warn'\n");
    let config = serve(&["--config", file.path(), "--log=debug", "--log-json=off"]).unwrap();
    assert_eq!(config.workers, Some(2));
    assert_eq!(config.log.filter, "debug");
    assert!(!config.log.json);
}

#[test]
fn what_the_flags_make_is_validated() {
    let error = serve(&["--http", "0.0.0.0:8080"]).unwrap_err().to_string();
    assert!(error.contains("TERCET_SECRET"), "{error}");
    serve(&["--http", "0.0.0.0:8080", "--secret", SECRET]).unwrap();
    serve(&["--config", "/nowhere/tercet.toml"]).unwrap_err();
}

#[test]
fn the_variables_mirror_the_flags() {
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    for flag in serve.get_arguments().filter(|flag| flag.get_id() != "help") {
        let expected = format!("TERCET_{}", flag.get_id().as_str().to_uppercase());
        assert_eq!(flag.get_env().unwrap().to_str(), Some(&*expected));
        assert_eq!(flag.get_long().map(|long| long.replace('-', "_")), Some(flag.get_id().to_string()));
    }
    assert!(known_variables().contains("TERCET_MEDIA_UDP"));
}

#[test]
fn a_token_opens_the_server_that_has_the_same_secret() {
    let minted = token(&["--secret", SECRET, "--role=listener", "--name=Al", "--no-data"]);
    let mut config = Config::default();
    config.access.secret = Some(SECRET.to_owned());
    let claims = Access::from_config(&config).unwrap().verify(&minted.unwrap().token).unwrap();
    assert_eq!((&*claims.room, &*claims.identity), ("stage", "alice"));
    assert_eq!((claims.name.as_deref(), claims.role), (Some("Al"), Role::Listener));
    assert!(!claims.may_send_data);
}

#[test]
fn a_token_is_signed_with_the_secret_of_the_file_or_else_the_dev_secret() {
    let file = TestFile::new("token", &format!("[access]\nsecret = '{SECRET}'\n"));
    assert!(!token(&["--config", file.path()]).unwrap().with_dev_secret);
    let minted = token(&[]).unwrap();
    assert!(minted.with_dev_secret);
    let access = Access::from_config(&Config::default()).unwrap();
    assert_eq!(access.verify(&minted.token).unwrap().role, Role::Speaker);
}

#[test]
fn a_token_that_no_server_would_take_is_not_made() {
    let file = TestFile::new("public", "[access]\npublic_key_file = 'key.pem'\n");
    assert!(token(&["--config", file.path()]).is_err_and(|e| e.to_string().contains("private")));
    assert!(token(&["--secret", "short"]).is_err());
    assert!(token(&["--ttl", "10ms"]).is_err());
    assert!(token(&["--private-key-file", file.path()]).is_err());
    assert!(token(&["--name", "x", "--private-key-file", "/nowhere/key.pem"]).is_err());
}

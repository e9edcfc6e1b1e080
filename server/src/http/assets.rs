//! The demo at `/`, the console at `/console` and the SDK at `/sdk/`, from inside the binary.

use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../web-demo/app/dist"]
#[allow_missing = true]
struct App;

#[derive(RustEmbed)]
#[folder = "../web-demo/sdk/dist"]
#[allow_missing = true]
struct Sdk;

/// What pages show when the server was built without node: how to get them.
const NOT_BUILT: &str = include_str!("not_built.html");

/// The console holds an operator's token while it is open: it runs nothing, and asks nobody, but what the server itself
/// serves, and is in no other page's frame.
const CONSOLE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                              img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) async fn demo(uri: Uri) -> Response {
    match uri.path().trim_start_matches('/') {
        "" | "index.html" => page("index.html"),
        "console.html" => console().await,
        path => App::get(path).map_or_else(not_found, |file| serve(path, file)),
    }
}

pub(super) async fn console() -> Response {
    let mut response = page("console.html");
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONSOLE_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Its assets are beside the page, whose address ends without a slash. Relative, for a server below a prefix.
pub(super) async fn console_without_slash() -> Redirect {
    Redirect::permanent("../console")
}

pub(super) async fn sdk(Path(path): Path<String>) -> Response {
    match Sdk::get(&path) {
        Some(file) => serve(&path, file),
        None if Sdk::iter().next().is_none() => {
            (StatusCode::NOT_FOUND, "the server was built without the SDK: see /\n").into_response()
        }
        None => not_found(),
    }
}

/// Whether the demo is in the binary.
pub(crate) fn has_demo() -> bool {
    App::get("index.html").is_some()
}

fn page(name: &str) -> Response {
    let not_built = || ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response();
    App::get(name).map_or_else(not_built, |file| serve(name, file))
}

fn serve(path: &str, file: EmbeddedFile) -> Response {
    // Vite puts a hash of the content into the names below assets/.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    // By its last letters alone, a TypeScript declaration is an MPEG transport stream.
    let is_declaration = path.ends_with(".d.ts");
    let kind = if is_declaration { "text/plain; charset=utf-8" } else { file.metadata.mimetype() };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CACHE_CONTROL, cache.to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, file.data.into_owned()).into_response()
}

fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "nothing is served at this path\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_console_runs_only_what_the_server_serves_by_either_name() {
        for response in [console().await, demo(Uri::from_static("/console.html")).await] {
            assert_eq!(response.status(), StatusCode::OK);
            let text = |name| response.headers()[name].to_str().expect("it is text").to_owned();
            assert!(text(header::CONTENT_TYPE).starts_with("text/html"));
            assert!(text(header::CONTENT_SECURITY_POLICY).contains("script-src 'self';"));
            assert_eq!(text(header::REFERRER_POLICY), "no-referrer");
        }
    }

    #[tokio::test]
    async fn a_path_that_nothing_is_at_is_not_found() {
        for path in ["/consoles", "/console.htm", "/../Cargo.toml"] {
            let response = demo(Uri::from_static(path)).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

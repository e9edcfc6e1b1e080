//! The demo at `/` and the SDK at `/sdk/`, from inside the binary.

use axum::extract::Path;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../web-demo/app/dist"]
#[allow_missing = true]
struct App;

#[derive(RustEmbed)]
#[folder = "../web-demo/sdk/dist"]
#[allow_missing = true]
struct Sdk;

/// What `/` shows when the server was built without node: how to get the demo.
const NOT_BUILT: &str = include_str!("not_built.html");

pub(super) async fn demo(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    match App::get(path) {
        Some(file) => serve(path, file),
        None if path == "index.html" => {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response()
        }
        None => not_found(),
    }
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

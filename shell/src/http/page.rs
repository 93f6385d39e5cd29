//! The page, one file without a build step. All its figures come from the same routes that anyone can ask, and it may
//! load and run nothing but itself: its policy names its script and its style by their hashes.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use sha2::{Digest, Sha256};

const HTML: &str = include_str!("page.html");

static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
});

/// Answers with the page.
pub async fn serve() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_string()),
        (header::CONTENT_SECURITY_POLICY, POLICY.clone()),
    ];
    (headers, HTML).into_response()
}

/// The hash by which a policy allows the content of the only element of this name.
fn hash(element: &str) -> String {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let content =
        HTML.split_once(&open).and_then(|(_, rest)| rest.split_once(&close)).map_or("", |(content, _)| content);
    format!("sha256-{}", base64::engine::general_purpose::STANDARD.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_that_writes_no_markup_from_data() {
        for element in ["<script", "<style"] {
            assert_eq!(HTML.matches(element).count(), 1, "{element}");
        }
        for forbidden in ["http://", "https://", "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("]
        {
            let found = HTML.replace("http://www.w3.org/2000/svg", "").contains(forbidden);
            assert!(!found, "{forbidden}");
        }
        assert!(!HTML.contains(" style=") && !HTML.contains(" onclick="), "the policy forbids them");
        assert_ne!(hash("script"), hash("nothing"));
    }
}

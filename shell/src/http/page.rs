//! The page, one file without a build step. All its figures come from the same routes that anyone can ask.

/// Its text.
pub const HTML: &str = include_str!("page.html");

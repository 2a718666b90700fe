//! Table locations: one spelling for each place, and whether two places share files.
//!
//! Policies hang on tables, so a second table over the same files would be a way around them. Invariant: two spellings of
//! one place have one canonical form: an absolute URL with a trailing slash.

use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::CatalogError;

/// Other names of the same storage.
const SCHEME_ALIASES: [(&str, &str); 3] = [("s3a", "s3"), ("s3n", "s3"), ("abfs", "abfss")];

/// The one spelling of a table's location. Symbolic links of local directories are followed, as far as the path exists.
///
/// # Errors
/// 22023 for what is no absolute URL of a directory.
pub fn canonical_location(location: &str) -> Result<String, CatalogError> {
    let url = Url::parse(location).map_err(|_| CatalogError::InvalidLocation("it is not an absolute URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CatalogError::InvalidLocation("it holds credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(CatalogError::InvalidLocation("it has a query or a fragment"));
    }
    if url.cannot_be_a_base() {
        return Err(CatalogError::InvalidLocation("it is not the URL of a directory"));
    }
    if url.scheme() == "file" { canonical_directory(&url) } else { canonical_object_prefix(&url) }
}

/// Whether two canonical locations are equal, or one is above the other.
#[must_use]
pub fn overlaps(a: &str, b: &str) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn canonical_directory(url: &Url) -> Result<String, CatalogError> {
    let unusable = CatalogError::InvalidLocation("it is not a path of this machine");
    let Ok(path) = url.to_file_path() else { return Err(unusable) };
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(CatalogError::InvalidLocation("it holds an encoded \"..\""));
    }
    let resolved = follow_links(&path)?;
    Url::from_directory_path(resolved).map(String::from).map_err(|()| unusable)
}

/// Resolves the longest part of the path that exists; the rest is taken as it is.
fn follow_links(path: &Path) -> Result<PathBuf, CatalogError> {
    let mut missing = Vec::new();
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(found) => return Ok(missing.iter().rev().fold(found, |whole, name| whole.join(name))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !ancestor.is_symlink() => {
                missing.extend(ancestor.file_name());
            }
            // Where it leads cannot be told, so neither can what it overlaps.
            Err(_) => return Err(CatalogError::InvalidLocation("its path cannot be followed")),
        }
    }
    Err(CatalogError::InvalidLocation("its path cannot be followed"))
}

fn canonical_object_prefix(url: &Url) -> Result<String, CatalogError> {
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err(CatalogError::InvalidLocation("it names no bucket"));
    };
    let scheme =
        SCHEME_ALIASES.iter().find(|(alias, _)| *alias == url.scheme()).map_or(url.scheme(), |(_, name)| *name);
    // A second spelling of one bucket, if it were taken: storage is found by the bucket's name.
    if url.port().is_some() {
        return Err(CatalogError::InvalidLocation("it names a port"));
    }
    let base = format!("{scheme}://{}/", host.to_ascii_lowercase());
    let mut canonical = Url::parse(&base).map_err(|_| CatalogError::InvalidLocation("it is not an absolute URL"))?;
    let mut segments = canonical
        .path_segments_mut()
        .map_err(|()| CatalogError::InvalidLocation("it is not the URL of a directory"))?;
    segments.pop_if_empty();
    for segment in url.path_segments().into_iter().flatten().filter(|segment| !segment.is_empty()) {
        let name =
            percent_decode_str(segment).decode_utf8().map_err(|_| CatalogError::InvalidLocation("it is not UTF-8"))?;
        if name.contains(['/', '\\', '\0']) || matches!(name.as_ref(), "." | "..") {
            return Err(CatalogError::InvalidLocation("it holds an encoded separator"));
        }
        segments.push(&name);
    }
    segments.push("");
    drop(segments);
    Ok(canonical.into())
}

#[cfg(test)]
mod tests {
    use super::{canonical_location, overlaps};

    fn canonical(location: &str) -> String {
        canonical_location(location).expect("usable")
    }

    #[test]
    fn spellings_of_one_prefix_become_one() {
        let expected = "s3://bucket/lake/patients/";
        for spelling in [
            "s3://bucket/lake/patients",
            "s3://bucket/lake/patients/",
            "S3://Bucket/lake//patients///",
            "s3a://bucket/lake/./patients",
            "s3n://bucket/lake/x/../patients/",
            "s3://bucket/lake/x/%2e%2e/patients/",
            "s3://bucket/l%61ke/p%61tients",
        ] {
            assert_eq!(canonical(spelling), expected, "{spelling}");
        }
        assert_ne!(canonical("s3://bucket/Lake/patients"), expected, "keys are case sensitive");
        assert_eq!(canonical(&canonical("s3://b/a b/ü")), canonical("s3://b/a b/ü"));
        assert_eq!(canonical("s3://bucket"), "s3://bucket/");
    }

    #[test]
    fn symbolic_links_lead_to_one_place() {
        let directory = tempfile::tempdir().expect("tempdir");
        let real = directory.path().join("real");
        std::fs::create_dir(&real).expect("mkdir");
        std::os::unix::fs::symlink(&real, directory.path().join("alias")).expect("symlink");
        std::os::unix::fs::symlink(directory.path().join("nowhere"), directory.path().join("dangling"))
            .expect("symlink");
        let base = format!("file://{}", directory.path().display());
        assert_eq!(canonical(&format!("{base}/alias/new/table")), canonical(&format!("{base}/real//new/table/")));
        assert_eq!(canonical(&format!("{base}/alias/../real")), canonical(&format!("{base}/real")));
        assert!(canonical_location(&format!("{base}/dangling/t")).is_err());
        assert!(canonical(&format!("{base}/real")).ends_with("/real/"));
    }

    #[test]
    fn unusable_locations_are_refused() {
        for location in [
            "",
            "/data/patients",
            "data",
            "s3:patients",
            "s3:///patients",
            "s3://key:secret@bucket/p",
            "s3://bucket/p?version=1",
            "s3://bucket/p#x",
            "s3://bucket:9000/p",
            "s3://bucket/a%2Fb",
            "mailto:a@b",
            "file://elsewhere/data",
        ] {
            assert!(canonical_location(location).is_err(), "{location}");
        }
    }

    #[test]
    fn overlap_is_by_directory_not_by_prefix_of_a_name() {
        let place = canonical("s3://b/lake/patients");
        assert!(overlaps(&place, &canonical("s3://b/lake/patients/")));
        assert!(overlaps(&place, &canonical("s3://b/lake")));
        assert!(overlaps(&canonical("s3://b/lake"), &place));
        assert!(!overlaps(&place, &canonical("s3://b/lake/patients_old")));
        assert!(!overlaps(&place, &canonical("s3://c/lake/patients")));
    }
}

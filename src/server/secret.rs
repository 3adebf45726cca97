//! The server's own secret, with which it signs what it gives to those who open rooms. It is kept,
//! so that hosts stay hosts when the server is started again.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const FILE: &str = "secret";
/// Bytes: those of the hash that signs.
const LENGTH: usize = 32;

/// The secret in `folder`, made if there is none. Where it cannot be kept, one for this run.
pub fn keep(folder: &Path) -> Vec<u8> {
    read_or_make(folder).unwrap_or_else(|error| {
        let path = folder.join(FILE);
        tracing::warn!(
            "{}: {error}; after a restart nobody will be host of their room",
            path.display()
        );
        rand::random::<[u8; LENGTH]>().to_vec()
    })
}

fn read_or_make(folder: &Path) -> io::Result<Vec<u8>> {
    let path = folder.join(FILE);
    match fs::read(&path) {
        Ok(secret) if secret.len() == LENGTH => return Ok(secret),
        Ok(_) => fs::remove_file(&path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::create_dir_all(folder)?;
    // Under a name of its own first: whoever starts at the same time finds a whole one or none.
    let new = folder.join(format!("{FILE}.{:016x}", rand::random::<u64>()));
    let secret = rand::random::<[u8; LENGTH]>();
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?
        .write_all(&secret)?;
    let linked = fs::hard_link(&new, &path);
    fs::remove_file(&new)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read(&path),
        linked => linked.map(|()| secret.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn it_is_made_once_and_nobody_else_reads_it() {
        let name = format!("quilt-secret-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let secret = keep(&folder);
        assert_eq!(secret.len(), LENGTH);
        assert_eq!(keep(&folder), secret);
        let metadata = fs::metadata(folder.join(FILE)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        fs::write(folder.join(FILE), b"short").unwrap();
        assert_ne!(keep(&folder), secret, "a broken one is no secret");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(keep(Path::new("/proc/nowhere")).len(), LENGTH);
    }
}

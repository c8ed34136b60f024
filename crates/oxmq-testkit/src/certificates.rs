//! Certificates made at run time, by the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate authority of its own, with a certificate for a server at `127.0.0.1` and `localhost`, and one for
/// a client. All in PEM files, good for 30 days.
#[derive(Debug, Clone)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them in `folder`. Panics if `openssl` is missing or fails.
    pub fn make(folder: &Path) -> Self {
        let certificates = Self::at(folder);
        let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let mut authority = vec!["req", "-x509", "-days", "30", "-subj", "/CN=oxmq test authority"];
        authority.extend(new_key);
        authority.extend(["-keyout", "ca.key", "-out", "ca.crt"]);
        certificates.openssl(&authority);
        let extensions = "subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n";
        std::fs::write(folder.join("leaf.ext"), extensions)
            .expect("the folder of the certificates can be written");
        for (name, serial) in [("server", "1"), ("client", "2")] {
            let [subject, key, request, certificate] =
                [format!("/CN={name}"), format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt")];
            let mut wish = vec!["req", "-new", "-subj", &subject];
            wish.extend(new_key);
            wish.extend(["-keyout", &key, "-out", &request]);
            certificates.openssl(&wish);
            let sign =
                ["x509", "-req", "-days", "30", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", serial];
            let files = ["-extfile", "leaf.ext", "-in", &request, "-out", &certificate];
            certificates.openssl(&[&sign[..], &files[..]].concat());
        }
        certificates
    }

    /// Those that were made in `folder`.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf() }
    }

    /// The authority's certificate: what a client must trust.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// The server's certificate.
    pub fn server_certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// The server's private key.
    pub fn server_key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// The client's certificate.
    pub fn client_certificate(&self) -> PathBuf {
        self.folder.join("client.crt")
    }

    /// The client's private key.
    pub fn client_key(&self) -> PathBuf {
        self.folder.join("client.key")
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.folder).output();
        let output = output.expect("the program `openssl` is needed for TLS");
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

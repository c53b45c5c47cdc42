//! The server without its shell: requests, journal, uploads, push fan-out. No runtime in sight.

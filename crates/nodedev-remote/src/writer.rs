use std::io::Write;

use crate::failure;
use crate::shared::Shared;

/// What is kept of the memory of a large call.
const KEEP: usize = 65_536;

/// Writes what is put into the buffer, until the connection ends.
pub(crate) fn run(shared: &Shared, mut output: Box<dyn Write + Send>) {
    let mut buffer = Vec::new();
    while shared.next_output(&mut buffer) {
        if let Err(error) = output.write_all(&buffer).and_then(|()| output.flush()) {
            shared.write_failed(failure::system("Cannot write data", &error));
            return;
        }
        if buffer.capacity() > KEEP {
            buffer = Vec::new();
        }
    }
}

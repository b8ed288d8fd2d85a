// Descriptors 0, 1 and 2 when whoever starts the program has closed them.
#pragma once

namespace datamesh::cli {

/// Opens what is closed of standard input, output and error, so that no file that is
/// opened later gets such a number and is taken for one of them. What takes their place
/// can be used for nothing: reading and writing still fail, with EBADF.
///
/// @pre called before anything else is opened. Ends the program where it fails.
void hold_standard_streams() noexcept;

} // namespace datamesh::cli

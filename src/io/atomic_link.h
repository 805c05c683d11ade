// A folder that appears whole under a name that others know: it is written under a name of its own,
// and the known name is a symbolic link, which one rename puts in the place of the one before. (A
// folder itself cannot be renamed over another on all file systems: NFS cannot exchange names.)
#pragma once
#include <string>

namespace pangu::io {

// Makes `path` a link to `target`, a name beside it, in one step that a kill or a crash does or
// does not come before. What is in the folder must be on the disk; its name is by then. Error kIo,
// also where `path` is a folder itself.
void replace_link(const std::string& path, const std::string& target);

// Error kIo, with a hint, where the folder that `path` lies in cannot have links.
void require_links(const std::string& path);

// If `path` is a folder itself, as one that was copied with its links followed: it gets the name
// `target` beside it, and `path` becomes a link to it; in one step where the file system can
// exchange names. Error kIo.
void link_folder(const std::string& path, const std::string& target);

}  // namespace pangu::io

// Reading by std::ifstream; inflating by zlib.
#include "text/read_file.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <limits>

#include "core/error.h"

namespace pangu::text {

std::string read_file(const std::string& path, const std::string& what, size_t cap_bytes) {
  std::ifstream stream(path, std::ios::binary | std::ios::ate);
  if (!stream) throw io_error("cannot open " + what, path, errno);
  const auto size = static_cast<std::streamoff>(stream.tellg());
  if (size < 0) throw io_error("cannot read " + what, path, errno);
  if (static_cast<size_t>(size) > cap_bytes) {
    throw bad_input(what + " '" + path + "'", "at most " + std::to_string(cap_bytes) + " bytes",
                    std::to_string(size));
  }
  std::string bytes(static_cast<size_t>(size), '\0');
  stream.seekg(0);
  if (!stream.read(bytes.data(), size)) throw io_error("cannot read " + what, path, errno);
  return bytes;
}

bool file_exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

std::string gunzip_lines(std::string_view gzip, size_t lines, size_t cap_bytes,
                         const std::string& name) {
  z_stream stream{};
  // 16: expect the header of gzip.
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) {
    throw Error(ErrorCode::kUnavailable, "zlib: inflateInit2 failed");
  }
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzip.data()));
  stream.avail_in =
      static_cast<uInt>(std::min<size_t>(gzip.size(), std::numeric_limits<uInt>::max()));
  int status = Z_OK;
  while (status == Z_OK && out.size() < cap_bytes && lines > 0) {
    const size_t begin = out.size();
    const size_t room = std::min<size_t>(cap_bytes - begin, size_t{1} << 16);
    out.resize(begin + room);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + begin);
    stream.avail_out = static_cast<uInt>(room);
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(begin + room - stream.avail_out);
    const auto fresh = out.begin() + static_cast<std::ptrdiff_t>(begin);
    lines -= std::min(lines, static_cast<size_t>(std::count(fresh, out.end(), '\n')));
  }
  inflateEnd(&stream);
  if (status != Z_OK && status != Z_STREAM_END) {
    throw bad_input(name, "a gzip file",
                    "damaged or foreign bytes after " + std::to_string(out.size()) + " good ones");
  }
  return out;
}

}  // namespace pangu::text

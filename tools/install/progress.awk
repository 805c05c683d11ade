# Ninja's lines (NINJA_STATUS='@%f %t %e ') as one line that says how much is left. Anything else, such as a compiler's
# error, is passed on. The work of an edge is estimated by its kind, for a unit of libtorch takes as long as dozens of
# others; the first file is what `ninja -t commands` gives, all edges of the target. Of an incremental build only their
# mean is used.
#   awk -v tty=1 -f progress.awk COMMANDS -
function weight(line) {
  if (line !~ / -c |Building CXX/) return 0.2
  if (line ~ /Unity\/unity_/) return 16
  if (line ~ /\.gch/) return 12
  if (line ~ /pangu_(tensors|diffusion|nn|train|pipeline|eval|study|app)\.dir|_test\.dir/) return 5
  return 1
}
function say(text) {
  if (tty) printf "\r\033[K== %s", text > "/dev/stderr"
  else printf "== %s\n", text > "/dev/stderr"
  shown = 1
}
FILENAME != "-" { all += weight($0); edges += 1; next }
/^@[0-9]+ [0-9]+ [0-9.]+ / {
  done += weight($0)
  seconds = $3
  text = sprintf("compiling: %d of %d files", substr($1, 2), $2)
  if (seconds > 5 && edges > 0) {
    left = seconds * (all * $2 / edges - done) / done
    if (left < 0) left = 0
    text = text (left < 90 ? sprintf(", about %d s left", left + 1) : sprintf(", about %d min left", left / 60 + 0.5))
  }
  # Without a terminal a line every half minute is enough.
  if (tty || seconds - last > 30 || substr($1, 2) == $2) { say(text); last = seconds }
  next
}
/^ninja: (Entering|no work)/ { next }
{ if (tty && shown) { printf "\r\033[K" > "/dev/stderr"; shown = 0 } print > "/dev/stderr" }
END { if (tty && shown) printf "\r\033[K" > "/dev/stderr" }

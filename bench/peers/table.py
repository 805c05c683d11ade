"""The results as a table: for the terminal, and for docs/performance.md (tools/performance_page.py)."""
from samples import PROBES, peak_memory_of, summaries_of

GIB = 1 << 30
HEAD = ("row", "engine", "seconds, median", "least", "share of the peak", "peak, conv / registers, GFLOP/s",
        "times ours [95 %]", "pairs", "kept")


def number(value, digits=3):
    """Shows this many digits that count."""
    if value is None:
        return "-"
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}" if abs(value) >= 1 else f"{value:.{digits}f}"


def cells_of(summary, title):
    ratio, peak = summary.ratio, summary.peak
    return (summary.row, title, number(summary.seconds), number(summary.least),
            "-" if summary.share is None else f"{100 * summary.share:.0f} %",
            " / ".join(f"{peak[probe]:.0f}" for probe in PROBES) if peak else "-",
            f"{ratio.median:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]" if ratio else "-",
            str(ratio.pairs) if ratio else "-", f"{summary.kept} of {summary.measured}")


def rows_of(records, titles):
    """titles: {engine: what it is called}. Returns the cells of all lines below HEAD."""
    return [cells_of(summary, titles.get(summary.engine, summary.engine)) for summary in summaries_of(records)]


def memory_rows_of(records, titles):
    return [(row, titles.get(engine, engine), f"{peak / GIB:.2f} GiB")
            for row, engines in peak_memory_of(records).items() for engine, peak in engines.items()]


def plain(head, lines):
    widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
                     for line in (head, *lines))


def shown(peak):
    return " / ".join(f"{peak[probe]:5.0f}" for probe in PROBES)


def sample_line(sample):
    """Returns what is printed of a sample as soon as it is measured."""
    share = f"{100 * sample.share():5.1f} % of the peak" if sample.gflop and not sample.broken else ""
    return (f"{sample.row:20} {sample.engine:14} {sample.seconds:9.4f} s  {share}  conv / registers before "
            f"{shown(sample.peaks[0])}, after {shown(sample.peaks[-1])} GFLOP/s{'' if sample.kept() else '  dropped'}")

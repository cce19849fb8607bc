// Spans of time in words, for times that go on while a page is open: the rules of accessmgmt/domain/spans.py. Both are
// tested with the cases of tests/templatetags/spans.json.
(() => {
  "use strict";

  const UNITS = [
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  const NOW_SECONDS = 45;
  const FAR_SECONDS = 30 * 86400;
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const two = (number) => String(number).padStart(2, "0");

  // The seconds as counts of days, hours, minutes and seconds.
  const counts = (seconds) => {
    let rest = Math.max(0, Math.floor(seconds));
    return UNITS.map(([size]) => {
      const count = Math.floor(rest / size);
      rest -= count * size;
      return count;
    });
  };

  window.portalSpans = {
    // null far away: the date that the server wrote stays.
    relativeWords(seconds) {
      const size = Math.abs(seconds);
      if (size < NOW_SECONDS) return seconds <= 0 ? "just now" : "in a moment";
      if (size >= FAR_SECONDS) return null;
      const [unitSeconds, unit] = UNITS.slice(0, 3).find(([least]) => size >= least) || UNITS[2];
      const count = Math.max(1, Math.floor(size / unitSeconds));
      return relative.format(seconds < 0 ? -count : count, unit);
    },

    clockWords(seconds) {
      const [days, hours, minutes, rest] = counts(seconds);
      if (days) return `${days} d ${two(hours)} h`;
      return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
    },

    spanWords(seconds) {
      if (seconds < 60) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
      const words = counts(seconds).map((count, index) => [count, UNITS[index][1]]);
      return words
        .filter(([count]) => count)
        .map(([count, unit]) => `${count} ${unit}${count === 1 ? "" : "s"}`)
        .join(" ");
    },
  };
})();

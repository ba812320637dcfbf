// Keeps the page of a job that has not ended up to date. Without it the page stays as it was.
"use strict";

{
  const PAUSE = 2000; // milliseconds between two looks
  const LONGEST = 60000; // and while nothing answers

  const line = ([at, time, level, logger, message]) => {
    const item = document.createElement("li");
    const moment = document.createElement("time");
    moment.dateTime = at;
    moment.textContent = time;
    const word = document.createElement("b");
    word.textContent = level;
    const from = document.createElement("span");
    from.className = "jobflow-quiet";
    from.textContent = logger;
    item.append(moment, " ", word, " ", from, " ", message);
    return item;
  };

  const append = (list, log) => {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(...log.lines.map(line));
    list.dataset.total = log.total;
    if (atEnd) list.scrollTop = list.scrollHeight;
  };

  const follow = (live) => {
    const list = document.querySelector(`ol[data-hold="${live.dataset.hold}"]`);
    const bar = live.querySelector("progress");
    const text = live.querySelector("output");
    const status = live.querySelector("[role=status]");
    let pause = PAUSE;

    const show = (told) => {
      const isOther = told.version !== live.dataset.version;
      if (isOther || (told.log.lines.length && !list)) {
        window.location.reload();
        return;
      }
      if (told.percent !== null) bar.value = told.percent;
      text.textContent = told.progress;
      if (list) append(list, told.log);
    };

    const look = async () => {
      if (!document.hidden) {
        try {
          const seen = list ? list.dataset.total : 0;
          const answer = await fetch(`${live.dataset.url}?after=${seen}`);
          if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
          show(await answer.json());
          status.textContent = "";
          pause = PAUSE;
        } catch {
          status.textContent = live.dataset.lost;
          pause = Math.min(pause * 2, LONGEST);
        }
      }
      window.setTimeout(look, pause);
    };

    window.setTimeout(look, pause);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const live = document.getElementById("jobflow-live");
    if (live) follow(live);
  });
}

// The station as it changes; without this file the page is loaded again every few seconds.
"use strict";

const live = document.querySelector("[data-live]");
const stale = document.querySelector(".stale");
let version = "";

async function look() {
  let heard = false;
  try {
    const answer = await fetch(live.dataset.live, { headers: version ? { "If-None-Match": version } : {} });
    if (answer.redirected) {
      location.reload(); // the session has ended: log in again
      return;
    }
    heard = answer.ok || answer.status === 304;
    // Nothing is changed under a finger or a cursor.
    const held = live.contains(document.activeElement) && document.activeElement.matches("input");
    if (answer.ok && !held) {
      version = answer.headers.get("ETag") || "";
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const open = live.querySelector("details[open]") !== null;
      live.replaceChildren(...page.body.childNodes);
      // Where scanning has become possible, or is no more, the page around changes too.
      const free = live.querySelector("[data-free-now]").dataset.freeNow;
      if (free !== live.dataset.free) {
        location.replace("/station");
        return;
      }
      if (open) live.querySelector("details")?.setAttribute("open", "");
    }
  } catch {
    heard = false;
  }
  stale.hidden = heard;
  setTimeout(look, document.hidden ? 5000 : 1000);
}

setTimeout(look, 1000);

// The live part of the overview: draws the charts, and takes in what has changed every few seconds.
// Without it the page shows the same numbers in tables.
"use strict";

(() => {
    const root = document.getElementById("jobflow-overview");
    if (!root || !root.dataset.url) {
        return;
    }
    const language = document.documentElement.lang || undefined;
    const timeZone = root.dataset.timeZone || undefined;
    const pauseButton = document.getElementById("jobflow-pause");
    const status = document.getElementById("jobflow-status");
    const numbers = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
    const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
    const clock = new Intl.DateTimeFormat(language, { timeZone, hour: "2-digit", minute: "2-digit" });
    const day = new Intl.DateTimeFormat(language, { timeZone, weekday: "short", day: "numeric" });
    const HEIGHT = 180;
    const charts = new Map();
    let units = [];
    let tag = "";
    let timer = 0;
    let isPaused = false;

    // Colours follow the theme, so they are asked for whenever something is drawn.
    const colour = (name) => getComputedStyle(root).getPropertyValue(`--jobflow-${name}`).trim();

    // Steps between two lines of an axis: counts are whole, and durations as clocks have them.
    const decades = (least, most) => {
        const found = [];
        for (let power = least; power <= most; power += 1) {
            found.push(...[1, 2, 5].map((digit) => Number(`${digit}e${power}`)));
        }
        return found;
    };
    const STEPS = {
        count: decades(0, 12),
        seconds: [
            ...decades(-3, -1),
            ...[1, 2, 5, 10, 15, 30],
            ...[1, 2, 5, 10, 15, 30].map((minutes) => minutes * 60),
            ...[1, 2, 3, 6, 12].map((hours) => hours * 3600),
            ...decades(0, 5).map((days) => days * 86400),
        ],
    };

    function duration(seconds) {
        // In its two largest units, as the tables have it.
        const place = units.findLastIndex(
            ([scale], index) => index > 0 && seconds >= scale - units[index - 1][0] / 2,
        );
        if (place < 2) {
            const [scale, text] = units[place === 1 || seconds === 0 ? 1 : 0];
            return text.replace("%(count)s", numbers.format(seconds / scale));
        }
        const [least] = units[place - 1];
        let rest = Math.round(seconds / least) * least;
        const said = [];
        for (const [scale, text] of [units[place], units[place - 1]]) {
            const count = Math.floor(rest / scale);
            rest -= count * scale;
            if (count) {
                said.push(text.replace("%(count)s", whole.format(count)));
            }
        }
        return said.join(" ");
    }

    const say = (value, unit) => (unit === "seconds" ? duration(value) : numbers.format(value));

    function sums(lists) {
        // Each part of a bar stands on those before it: what is drawn is its upper end.
        const total = new Array(lists[0].length).fill(0);
        return lists.map((list) => list.map((value, index) => (total[index] += value || 0)));
    }

    function drawn(chart, starts) {
        // Of bars the highest come first, so that the lower parts are drawn over them.
        const lists = Object.values(chart.series);
        return [starts, ...(chart.stacked ? sums(lists).reverse() : lists)];
    }

    function alone(plot, line) {
        // No line leads to a value whose neighbours are missing: it is drawn as a point.
        const list = plot.data[line];
        const isThere = (index) => list[index] !== null && list[index] !== undefined;
        return [...list.keys()].filter(
            (index) => isThere(index) && !isThere(index - 1) && !isThere(index + 1),
        );
    }

    function lines(chart) {
        const names = Object.keys(chart.series);
        return (chart.stacked ? names.reverse() : names).map((name) => ({
            label: chart.labels[name],
            stroke: () => colour(name),
            width: chart.stacked ? 0 : 2,
            points: { show: false, size: 6, ...(!chart.stacked && { filter: alone }) },
            ...(chart.stacked && {
                fill: () => colour(name),
                paths: uPlot.paths.bars({ size: [0.85, 60], align: 1 }),
            }),
        }));
    }

    function axes(chart, length) {
        const alike = {
            stroke: () => colour("axis"),
            grid: { stroke: () => colour("grid"), width: 1 },
            ticks: { stroke: () => colour("grid"), width: 1 },
            font: "12px sans-serif",
        };
        const format = length < 3600 ? clock : day;
        return [
            { ...alike, size: 32, space: 70, values: (_, at) => at.map((each) => format.format(each * 1000)) },
            {
                ...alike,
                size: 72,
                incrs: STEPS[chart.unit],
                values: (_, at) => at.map((each) => say(each, chart.unit)),
            },
        ];
    }

    // So that the axis of counts has room for one step.
    const highest = (chart, most) => Math.max(most * 1.05, chart.unit === "count" || !most ? 1 : 0);

    function readOut(place, chart, starts, index) {
        if (index == null || starts[index] === undefined) {
            place.textContent = "";
            return;
        }
        const found = Object.entries(chart.series)
            .filter(([, list]) => list[index] !== null && (!chart.stacked || list[index]))
            .map(([name, list]) => `${chart.labels[name]} ${say(list[index], chart.unit)}`);
        place.textContent = [clock.format(starts[index] * 1000), ...found].join(" · ");
    }

    function create(element, chart, answer) {
        const place = document.createElement("p");
        place.className = "jobflow-readout";
        place.setAttribute("aria-hidden", "true");
        const state = { chart, starts: answer.starts, place };
        const options = {
            width: element.clientWidth || 400,
            height: HEIGHT,
            tzDate: (at) => (timeZone ? uPlot.tzDate(new Date(at * 1000), timeZone) : new Date(at * 1000)),
            legend: { show: false },
            cursor: { drag: { x: false, y: false }, y: false },
            scales: {
                x: { range: () => [state.starts[0], state.starts.at(-1) + answer.length] },
                y: { range: (_, least, most) => [0, highest(chart, most)] },
            },
            series: [{}, ...lines(chart)],
            axes: axes(chart, answer.length),
            hooks: {
                setCursor: [(plot) => readOut(place, state.chart, state.starts, plot.cursor.idx)],
            },
        };
        state.plot = new uPlot(options, drawn(chart, answer.starts), element);
        element.after(place);
        new ResizeObserver(() => {
            state.plot.setSize({ width: element.clientWidth, height: HEIGHT });
        }).observe(element);
        charts.set(chart.name, state);
    }

    function draw(answer) {
        units = [...answer.units].sort(([one], [other]) => one - other);
        for (const chart of answer.charts) {
            const element = root.querySelector(`[data-chart="${chart.name}"]`);
            const state = charts.get(chart.name);
            element.setAttribute("aria-label", chart.title);
            if (!state) {
                create(element, chart, answer);
            } else {
                Object.assign(state, { chart, starts: answer.starts });
                state.plot.setData(drawn(chart, answer.starts));
            }
        }
        root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
    }

    function replace(parts) {
        for (const [name, html] of Object.entries(parts)) {
            const element = root.querySelector(`[data-part="${name}"]`);
            if (element.dataset.shown === html) {
                continue;
            }
            const focused = element.contains(document.activeElement) && document.activeElement;
            const address = focused && focused.getAttribute("href");
            element.innerHTML = html;  // made by the templates of this page, which escape
            element.dataset.shown = html;
            if (address) {
                const again = [...element.querySelectorAll("a")];
                again.find((link) => link.getAttribute("href") === address)?.focus();
            }
        }
    }

    const tell = (text) => {
        if (status.textContent !== text) {
            status.textContent = text;
        }
    };

    async function look() {
        const headers = { Accept: "application/json", ...(tag && { "If-None-Match": tag }) };
        const response = await fetch(root.dataset.url, { headers, redirect: "manual" });
        if (response.status === 304) {
            tell("");
            return true;
        }
        if (!response.ok) {  // who is not logged in any more is led away
            tell(response.type === "opaqueredirect" || response.status === 403
                ? status.dataset.gone : status.dataset.lost);
            return response.status >= 500;
        }
        tag = response.headers.get("ETag") || "";
        const answer = await response.json();
        replace(answer.parts);
        draw(answer);
        tell("");
        return true;
    }

    async function round() {
        clearTimeout(timer);
        timer = 0;
        let goesOn = true;
        try {
            goesOn = await look();
        } catch (error) {
            if (!(error instanceof TypeError)) {  // which says that nobody has answered
                throw error;
            }
            tell(status.dataset.lost);
        }
        if (goesOn) {
            plan();
        }
    }

    function plan() {
        clearTimeout(timer);
        if (!isPaused && !document.hidden) {
            timer = setTimeout(round, Number(root.dataset.interval));
        }
    }

    function redraw() {
        for (const { plot } of charts.values()) {
            plot.redraw(true, true);  // with the paths, which keep the colours of their bars
        }
    }

    pauseButton.hidden = false;
    pauseButton.addEventListener("click", () => {
        isPaused = !isPaused;
        pauseButton.setAttribute("aria-pressed", String(isPaused));
        if (isPaused) {
            clearTimeout(timer);
        } else {
            round();
        }
    });
    document.addEventListener("visibilitychange", () => {
        if (document.hidden) {
            clearTimeout(timer);
        } else if (!isPaused) {
            round();
        }
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    round();
})();

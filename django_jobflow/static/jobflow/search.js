/* Completion for the search of the lists of jobs: keys, and values that are known. The field is an
   ordinary one without it. Keys: down and up choose, Enter and Tab take, Escape closes. */
"use strict";
{
    const MOST = 12; // suggestions

    /** Return what is being typed: where the value or key begins, and what it is of. */
    const piece = (text, at) => {
        const before = text.slice(0, at);
        if ((before.match(/"/g) || []).length % 2) {
            return null; // inside quotes
        }
        const term = /\S*$/.exec(before)[0];
        const found = /^(-?)([A-Za-z_][\w.]*)(>=|<=|:|>|<)(.*)$/.exec(term);
        if (!found) {
            const key = /^-?(.*)$/.exec(term)[1];
            return {key: null, typed: key, start: at - key.length};
        }
        const typed = found[4].slice(found[4].lastIndexOf(",") + 1);
        return {key: found[2], typed, start: at - typed.length};
    };

    const quoted = (value) => /^[^\s,"\\]+$/.test(value) && !value.endsWith("*")
        ? value : `"${value.replace(/(["\\])/g, "\\$1")}"`;

    const suggestions = (known, {key, typed}) => {
        const part = typed.toLowerCase();
        if (key === null) {
            return known.keys
                .filter(({name}) => part && name.startsWith(part))
                .map(({name, signs, member}) => ({
                    text: member ? `${name}.` : `${name}${signs[0] === ":" ? ":" : signs[2]}`,
                    goesOn: true,
                }));
        }
        const begins = [], contains = [];
        for (const value of known.values[key] || []) {
            const place = value.toLowerCase().indexOf(part);
            if (place === 0) {
                begins.push({text: quoted(value)});
            } else if (place > 0) {
                contains.push({text: quoted(value)});
            }
        }
        return [...begins, ...contains];
    };

    class Completion {
        constructor(field) {
            this.field = field;
            this.known = null;
            this.items = [];
            this.chosen = -1;
            this.list = document.createElement("ul");
            this.list.id = `${field.id}-suggestions`;
            this.list.className = "jobflow-suggestions";
            this.list.setAttribute("role", "listbox");
            this.list.setAttribute("aria-label", field.dataset.suggestions || "");
            this.list.hidden = true;
            const frame = document.createElement("span");
            frame.className = "jobflow-completing";
            field.before(frame);
            frame.append(field, this.list);
            field.setAttribute("role", "combobox");
            field.setAttribute("aria-autocomplete", "list");
            field.setAttribute("aria-expanded", "false");
            field.setAttribute("aria-controls", this.list.id);
            field.autocomplete = "off";
            field.addEventListener("focus", () => this.load());
            field.addEventListener("input", () => this.offer());
            field.addEventListener("keydown", (event) => this.press(event));
            field.addEventListener("blur", () => this.close());
            if (document.activeElement === field) {
                this.load();
            }
        }

        async load() {
            if (this.known === null) {
                this.known = {keys: [], values: {}};
                const answer = await fetch(this.field.dataset.completions, {
                    headers: {Accept: "application/json"},
                });
                if (answer.ok) {
                    this.known = await answer.json();
                }
            }
        }

        offer() {
            this.piece = this.known && piece(this.field.value, this.field.selectionStart);
            const found = this.piece ? suggestions(this.known, this.piece) : [];
            this.items = found.filter(({text}) => text !== this.piece.typed).slice(0, MOST);
            this.chosen = -1;
            this.list.replaceChildren(...this.items.map(({text}, number) => {
                const item = document.createElement("li");
                item.id = `${this.list.id}-${number}`;
                item.setAttribute("role", "option");
                item.setAttribute("aria-selected", "false");
                item.textContent = text;
                item.addEventListener("pointerdown", (event) => {
                    event.preventDefault(); // the field keeps the focus
                    this.take(number);
                });
                return item;
            }));
            this.list.hidden = !this.items.length;
            this.field.setAttribute("aria-expanded", String(!this.list.hidden));
            this.field.removeAttribute("aria-activedescendant");
        }

        press(event) {
            if (this.list.hidden) {
                return;
            }
            const moves = {ArrowDown: 1, ArrowUp: -1};
            if (event.key in moves) {
                const count = this.items.length;
                const from = this.chosen < 0 && event.key === "ArrowUp" ? 0 : this.chosen;
                this.choose((from + moves[event.key] + count) % count);
                event.preventDefault();
            } else if (event.key === "Escape") {
                this.close();
                event.preventDefault();
            } else if ((event.key === "Enter" || event.key === "Tab") && this.chosen >= 0) {
                this.take(this.chosen);
                event.preventDefault();
            }
        }

        choose(number) {
            this.chosen = number;
            [...this.list.children].forEach((item, place) => {
                item.setAttribute("aria-selected", String(place === number));
            });
            this.field.setAttribute("aria-activedescendant", `${this.list.id}-${number}`);
        }

        take(number) {
            const {text, goesOn} = this.items[number];
            const {value, selectionStart} = this.field;
            const rest = value.slice(selectionStart);
            const space = goesOn || rest.startsWith(" ") ? "" : " ";
            const head = `${value.slice(0, this.piece.start)}${text}${space}`;
            this.field.value = head + rest;
            this.field.setSelectionRange(head.length, head.length);
            this.offer();
        }

        close() {
            this.list.hidden = true;
            this.field.setAttribute("aria-expanded", "false");
            this.field.removeAttribute("aria-activedescendant");
        }
    }

    addEventListener("DOMContentLoaded", () => {
        for (const field of document.querySelectorAll("input[data-completions]")) {
            new Completion(field);
        }
    });
}

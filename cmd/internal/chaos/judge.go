package chaos

import (
	"fmt"
	"strings"

	"queen-rbee/cmd/internal/chaos/crowd"
	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// judge holds everything that was seen against the promises.
func (r *run) judge(ops []history.Op, stuck error) *Report {
	texts, err := r.texts(ops)
	verdict := history.Check(ops, history.Options{
		Reference: func(t history.Task) (string, bool) { text, ok := texts[t]; return text, ok },
		Retain:    keep,
	})
	samples, overbooked := r.watch.seen()
	verdict.Checked[history.Slots] += samples
	report := summarize(ops, r.nemesis.Done(), verdict)
	report.Config = r.cfg
	add := func(texts ...string) { report.Violations = append(report.Violations, texts...) }
	add(r.nemesis.Violations()...)
	add(overbooked...)
	add(r.crowd.Breaches()...)
	add(wishes(ops)...)
	add(chats(r.crowd.Reads(), ops, texts)...)
	if stuck != nil {
		add("the run: " + stuck.Error())
	}
	if err != nil {
		add("the reference engine: " + err.Error())
	}
	return report
}

// texts asks the reference engine for every task of a history.
func (r *run) texts(ops []history.Op) (map[history.Task]string, error) {
	texts := map[history.Task]string{}
	for _, op := range ops {
		if op.Task == nil {
			continue
		}
		t := *op.Task
		if _, known := texts[t]; known {
			continue
		}
		text, err := r.ref.Ask(r.t.Context(), rig.Task{Model: t.Model, Prompt: t.Prompt, MaxTokens: t.MaxTokens, Seed: t.Seed})
		if err != nil {
			return texts, err
		}
		texts[t] = text
	}
	return texts, nil
}

// attempts is how many a job has before a lost worker is its end, where it asked for restart.
const attempts = 3

// wishes holds jobs that asked to be restarted to that: they have their attempts.
func wishes(ops []history.Op) (wrong []string) {
	wished := map[string]bool{}
	told := map[string]bool{}
	for _, op := range ops {
		if op.Kind == history.Submit && op.Task != nil && op.Task.OnWorkerLoss == "restart" && op.JobID != "" {
			wished[op.JobID] = true
		}
	}
	for _, op := range ops {
		for _, row := range op.Rows {
			if row.State != "failed" || row.Attempt >= attempts || !wished[row.ID] || told[row.ID] {
				continue
			}
			told[row.ID] = true
			wrong = append(wrong, fmt.Sprintf("job %s asked to be restarted and %s after attempt %d", row.ID, endOf(row), row.Attempt))
		}
	}
	return wrong
}

// chats holds what OpenAI readers got against the reference and the state.
func chats(reads []crowd.Read, ops []history.Op, texts map[history.Task]string) (wrong []string) {
	rows := map[string]history.Row{}
	for _, op := range ops {
		for _, row := range op.Rows {
			if row.Ended() {
				rows[row.ID] = row
			}
		}
	}
	for _, r := range reads {
		want, known := texts[r.Task]
		if known && (r.Done && r.Text != want || !strings.HasPrefix(want, r.Text)) {
			wrong = append(wrong, fmt.Sprintf("%s: job %s was read as %q in the OpenAI form, where the engine says %q", history.Whole, r.Job, r.Text, want))
		}
		if row, ended := rows[r.Job]; ended && r.Done != (row.State == "complete") && r.Over {
			wrong = append(wrong, fmt.Sprintf("%s: job %s is %s, and its OpenAI reader was told done: %v", history.Once, r.Job, row.State, r.Done))
		}
	}
	return wrong
}

package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/batch"
	"queen-rbee/cmd/rbee-keeper/client"
)

// fileOptions are the flags of infer that concern a file of tasks.
type fileOptions struct {
	file, out   string
	concurrency int
}

const maxConcurrency = 1024

func (o *fileOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "run every line of this file: JSON objects like the body of POST /v2/tasks, with an id of your own if you like")
	f.StringVar(&o.out, "out", "", "with --file: write the results here; started again with the same --out, an interrupted run goes on")
	f.IntVar(&o.concurrency, "concurrency", 8, "with --file: so many jobs at a time")
}

// check refuses what makes no sense together.
func (o *fileOptions) check(cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	if o.file == "" {
		for _, name := range []string{"out", "concurrency"} {
			if given(name) {
				return usagef(cmd, "--%s needs --file", name)
			}
		}
		return nil
	}
	for _, name := range []string{"detach", "stream", "idempotency-key"} {
		if given(name) {
			return usagef(cmd, "--%s has no meaning beside --file", name)
		}
	}
	switch {
	case len(args) > 1 || len(args) == 1 && given("model"):
		return usagef(cmd, "%q: with --file the prompts stand in the file", args[len(args)-1])
	case o.concurrency < 1 || o.concurrency > maxConcurrency:
		return usagef(cmd, "--concurrency: %d is not between 1 and %d", o.concurrency, maxConcurrency)
	}
	return nil
}

// inferFile runs a file of tasks; what the flags say of a task holds for lines that do not say
// it themselves.
func (k *keeper) inferFile(cmd *cobra.Command, t client.Task, o fileOptions) error {
	defaults, err := fieldsOf(t)
	if err != nil {
		return err
	}
	p := newProgress(k.err)
	c, err := k.client(func(text string) { p.say("[" + text + "]") })
	if err != nil {
		return err
	}
	defer c.Close()
	tally, err := batch.Run(cmd.Context(), batch.Config{
		Client: c, File: o.file, Defaults: defaults, Out: o.out, Results: p.results(k.out), Concurrency: o.concurrency,
		Progress: p.show, Notice: func(text string) { p.say("[" + printable(text, false) + "]") },
	})
	p.end()
	if err != nil {
		if o.out != "" && tally.Lines > 0 {
			k.say("%d of %d lines are done; the same command goes on with the others", tally.Done, tally.Lines)
		}
		return err
	}
	k.say("%d lines: %d complete, %d failed", tally.Lines, tally.Done-tally.Failed, tally.Failed)
	if tally.Failed > 0 {
		return &shown{}
	}
	return nil
}

// fieldsOf is a task by the names of its fields, those left out that are not set.
func fieldsOf(t client.Task) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, err
	}
	if t.Model == "" {
		delete(fields, "model")
	}
	return fields, nil
}

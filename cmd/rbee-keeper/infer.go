package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

// maxPrompt bounds what is read from stdin; queens take bodies of 8 MiB.
const maxPrompt = 8 << 20

type inferOptions struct {
	model, priority, session, hive, onLoss, key string
	maxTokens                                   int
	temperature, topP                           float64
	seed                                        int64
	stop                                        []string
	deadline                                    time.Duration
	stream, detach                              bool
	fileOptions
}

func inferCommand(k *keeper) *cobra.Command {
	var o inferOptions
	cmd := &cobra.Command{
		Use:     "infer [MODEL] [PROMPT...]",
		Aliases: []string{"run"},
		Short:   "Run a prompt and stream the answer",
		Long: `Run a prompt and stream the answer to the terminal.

MODEL comes first unless --model names it; the rest is the prompt. Without one, or with "-",
it is read from stdin; "run" without one at a terminal is a chat. When the queen that serves the stream dies, another carries on where
it stopped. Ctrl-C cancels the job.

With --file every line of a file is a job: a JSON object like {"prompt": "..."}, with any other
field of POST /v2/tasks and an id. The results come as JSON lines as the jobs end, with the
line's number and id; a line that failed has an error instead of a text, and makes the exit
status 1. With --out an interrupted run can be started again and goes on where it stopped.`,
		Example: `  rbee-keeper infer builtin/markov "Once upon a time" --max-tokens 100
  cat question.txt | rbee-keeper run builtin/markov
  rbee-keeper infer -m builtin/markov --detach "Write me a long letter"
  rbee-keeper infer builtin/markov --file prompts.jsonl --out results.jsonl --concurrency 16`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, args); err != nil {
				return err
			}
			task, args, err := o.task(cmd, args)
			if err != nil {
				return err
			}
			if cmd.CalledAs() == "run" && len(args) == 0 && o.file == "" && !o.detach && isTerminal(k.in) {
				return k.chat(cmd.Context(), task, "")
			}
			if o.file != "" {
				return k.inferFile(cmd, task, o.fileOptions)
			}
			if task.Prompt, err = prompt(cmd, k.in, args); err != nil {
				return err
			}
			return k.infer(cmd.Context(), task, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.model, "model", "m", "", "model to ask; then all arguments are the prompt")
	f.IntVar(&o.maxTokens, "max-tokens", 0, "longest answer in tokens")
	f.Float64Var(&o.temperature, "temperature", 0, "how freely the model chooses, 0 to 2")
	f.Float64Var(&o.topP, "top-p", 0, "choose among the likeliest tokens of this total probability")
	f.Int64Var(&o.seed, "seed", 0, "the same seed gives the same answer, where the engine can")
	f.StringArrayVar(&o.stop, "stop", nil, "end the answer before this text (repeatable)")
	f.StringVar(&o.priority, "priority", "", "interactive or batch")
	f.StringVar(&o.session, "session", "", "key that keeps requests on the worker that knows them")
	f.StringVar(&o.hive, "hive", "", "only on this hive")
	f.StringVar(&o.onLoss, "on-worker-loss", "", "when a worker dies in mid-answer: fail or restart")
	f.DurationVar(&o.deadline, "deadline", 0, "give up when it has not ended so long after it was accepted")
	f.BoolVar(&o.stream, "stream", true, "show tokens as they come")
	f.BoolVar(&o.detach, "detach", false, "do not wait: print the job's id")
	f.StringVar(&o.key, "idempotency-key", "", "repeat an earlier request under its key: the same job")
	o.flags(cmd)
	return cmd
}

// task makes the request of flags and arguments, without the prompt, of which it gives the
// words. What was not said stays out of it, so that the queen's defaults hold.
func (o *inferOptions) task(cmd *cobra.Command, args []string) (client.Task, []string, error) {
	t := client.Task{
		Model: o.model, Priority: o.priority, Stop: o.stop, Session: o.session, Hive: o.hive, OnWorkerLoss: o.onLoss,
	}
	if t.Model == "" && len(args) > 0 {
		t.Model, args = args[0], args[1:]
	}
	if t.Model == "" && o.file == "" {
		return t, nil, usagef(cmd, "no model: name it first, or with --model")
	}
	given := cmd.Flags().Changed
	if given("max-tokens") {
		t.MaxTokens = &o.maxTokens
	}
	if given("temperature") {
		t.Temperature = &o.temperature
	}
	if given("top-p") {
		t.TopP = &o.topP
	}
	if given("seed") {
		t.Seed = &o.seed
	}
	if given("deadline") {
		if o.deadline <= 0 {
			return t, nil, usagef(cmd, "--deadline: %s is not above 0", o.deadline)
		}
		t.Deadline = o.deadline.String()
	}
	return t, args, nil
}

func prompt(cmd *cobra.Command, in io.Reader, args []string) (string, error) {
	if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
		return strings.Join(args, " "), nil
	}
	if len(args) == 0 && isTerminal(in) {
		return "", usagef(cmd, "no prompt: give it as an argument or on stdin")
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPrompt+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("stdin: %w", err)
	case len(data) > maxPrompt:
		return "", usagef(cmd, "the prompt on stdin is over %d MiB", maxPrompt>>20)
	case len(data) == 0:
		return "", usagef(cmd, "the prompt on stdin is empty")
	}
	return string(data), nil
}

func (k *keeper) infer(ctx context.Context, t client.Task, o inferOptions) error {
	c, err := k.client(func(text string) { k.say("[%s]", text) })
	if err != nil {
		return err
	}
	defer c.Close()
	if o.detach {
		return k.inferDetached(ctx, c, t, o.key)
	}
	s := c.Stream(ctx, t, o.key)
	err = k.show(s, o.stream)
	if ctx.Err() != nil && s.JobID() != "" {
		return k.cancelBehind(c, s.JobID())
	}
	return err
}

func (k *keeper) inferDetached(ctx context.Context, c *client.Client, t client.Task, key string) error {
	a, err := c.Submit(ctx, t, key)
	if err != nil {
		return err
	}
	if k.output != "table" {
		return k.print(a)
	}
	fmt.Fprintln(k.out, a.JobID)
	k.say("accepted; rbee-keeper jobs watch %s shows its output", a.JobID)
	return nil
}

// cancelBehind ends a job whose reader was interrupted: without it, the job would go on for
// its grace time.
func (k *keeper) cancelBehind(c *client.Client, id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	job, err := c.Cancel(ctx, id)
	if err != nil {
		return fmt.Errorf("interrupted, but job %s could not be cancelled: %w", id, err)
	}
	k.say("\njob %s: %s", id, stateWord(job))
	return &shown{}
}

// stateWord tells a job's state, and that it is about to end where it is.
func stateWord(j client.Job) string {
	if j.Ended() || j.Ending == "" {
		return j.State
	}
	return j.State + ", ending (" + j.Ending + ")"
}

// text makes a model's output fit for where it goes: a terminal gets no control characters.
func (k *keeper) text(s string) string {
	if isTerminal(k.out) {
		return printable(s, true)
	}
	return s
}

// show is tell without its text.
func (k *keeper) show(s *client.Stream, asItComes bool) error {
	_, err := k.tell(s, asItComes)
	return err
}

// tell prints a stream: as it comes, or whole at its end. Either way it is read as a stream,
// since that outlives the queen it is read from. As json or yaml it is the result at the end.
// The text is what came, also of a stream that failed.
func (k *keeper) tell(s *client.Stream, asItComes bool) (string, error) {
	live := asItComes && k.output == "table"
	var tr client.Transcript
	atLineStart := true
	for ev, err := range s.Events() {
		if err != nil {
			if live && !atLineStart {
				fmt.Fprintln(k.out)
			}
			return tr.Text(), err
		}
		tr.Add(ev)
		switch {
		case ev.Kind == client.Token && live && ev.Data.T != "":
			fmt.Fprint(k.out, k.text(ev.Data.T))
			atLineStart = strings.HasSuffix(ev.Data.T, "\n")
		case ev.Kind == client.Retry && tr.Restarts > 0:
			k.say("\n[the answer starts again: %s]", printable(ev.Data.Reason, false))
		case ev.Final():
			if live && !atLineStart {
				fmt.Fprintln(k.out)
			}
			if !live && k.output == "table" && ev.Kind == client.End {
				fmt.Fprintln(k.out, k.text(tr.Text()))
			}
			return tr.Text(), k.finish(s.JobID(), ev, tr.Text())
		}
	}
	return tr.Text(), nil
}

func (k *keeper) finish(id string, ev client.Event, text string) error {
	d := ev.Data
	if ev.Kind == client.Failure {
		k.say("rbee-keeper: %s: %s (job %s)", printable(d.Code, false), printable(d.Message, false), id)
		if hint := hints[d.Code]; hint != "" {
			k.say("hint: %s", hint)
		}
		return &shown{}
	}
	if k.output == "table" {
		return nil
	}
	return k.print(client.Result{
		JobID: id, Text: text, FinishReason: d.FinishReason, Usage: d.Usage,
		QueuedMS: d.QueuedMS, TTFTMS: d.TTFTMS, TotalMS: d.TotalMS,
	})
}

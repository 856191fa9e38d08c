package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

func chatCommand(k *keeper) *cobra.Command {
	var o inferOptions
	var system string
	cmd := &cobra.Command{
		Use:   "chat MODEL",
		Short: "Talk to a model",
		Long: `Talk to a model: each line is said to it, and all that was said before goes with it.

""" begins a text of several lines and ends it. Ctrl-C cancels the answer that is being given;
/bye or Ctrl-D ends the conversation, /clear forgets it, /help lists the commands. Nothing of it
is kept when it ends. It works without a terminal too: each line of stdin is said in turn.`,
		Example: `  rbee-keeper chat builtin/markov --system "Be brief."`,
		Args:    exactly("the model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			task, _, err := o.task(cmd, args)
			if err != nil {
				return err
			}
			return k.chat(cmd.Context(), task, system)
		},
	}
	f := cmd.Flags()
	f.StringVar(&system, "system", "", "what the model is told before the conversation")
	f.IntVar(&o.maxTokens, "max-tokens", 0, "longest answer in tokens")
	f.Float64Var(&o.temperature, "temperature", 0, "how freely the model chooses, 0 to 2")
	f.Float64Var(&o.topP, "top-p", 0, "choose among the likeliest tokens of this total probability")
	f.Int64Var(&o.seed, "seed", 0, "the same seed gives the same answer, where the engine can")
	f.StringVar(&o.session, "session", "", "key that keeps requests on the worker that knows them (default: a fresh one)")
	f.StringVar(&o.hive, "hive", "", "only on this hive")
	return cmd
}

// chat is one conversation. It belongs to one goroutine.
type chat struct {
	k          *keeper
	c          *client.Client
	task       client.Task // its messages are the conversation so far
	system     int         // how many of them are no part of it
	person     bool        // somebody sits at it
	lines      <-chan typed
	interrupts <-chan os.Signal
}

// typed is a line, or why there are no more.
type typed struct {
	text string
	err  error
}

func (k *keeper) chat(ctx context.Context, task client.Task, system string) error {
	c, err := k.client(func(text string) { k.say("[%s]", text) })
	if err != nil {
		return err
	}
	defer c.Close()
	if task.Session == "" {
		task.Session = client.NewKey() // the worker that has read the beginning should go on
	}
	if system != "" {
		task.Messages = []client.Message{{Role: "system", Content: system}}
	}
	over := make(chan struct{})
	defer close(over)
	interrupts, stop := k.interrupts()
	defer stop()
	ch := &chat{
		k: k, c: c, task: task, system: len(task.Messages), person: isTerminal(k.in) && isTerminal(k.out),
		lines: typedLines(k.in, over), interrupts: interrupts,
	}
	if ch.person {
		k.say("/help lists what else you can say; /bye ends it")
	}
	return ch.run(ctx)
}

// interrupts takes Ctrl-C for the conversation from now on: before, it ended the program.
func (k *keeper) interrupts() (<-chan os.Signal, func()) {
	if k.signals != nil {
		return k.signals, func() {}
	}
	c := make(chan os.Signal, 1)
	signal.Reset(os.Interrupt)
	signal.Notify(c, os.Interrupt)
	return c, func() { signal.Stop(c) }
}

// typedLines reads lines of at most maxPrompt bytes. Its goroutine ends with the input, or when
// nobody wants more and a line has come.
func typedLines(in io.Reader, over <-chan struct{}) <-chan typed {
	lines := make(chan typed)
	go func() {
		defer close(lines)
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, maxPrompt)
		for sc.Scan() {
			select {
			case lines <- typed{text: sc.Text()}:
			case <-over:
				return
			}
		}
		if err := sc.Err(); err != nil {
			select {
			case lines <- typed{err: fmt.Errorf("stdin: %w", err)}:
			case <-over:
			}
		}
	}()
	return lines
}

func (c *chat) run(ctx context.Context) error {
	for {
		text, err := c.ask(ctx, ">>> ")
		if err == nil && strings.HasPrefix(text, `"""`) {
			text, err = c.block(ctx, text)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case strings.TrimSpace(text) == "":
			continue
		case strings.HasPrefix(text, "/"):
			if c.command(strings.TrimSpace(text)) {
				return nil
			}
			continue
		}
		if err := c.say(ctx, text); err != nil && !c.survives(ctx, err) {
			return err
		}
	}
}

// ask waits for a line. Ctrl-C there means nothing yet.
func (c *chat) ask(ctx context.Context, prompt string) (string, error) {
	for {
		if c.person {
			fmt.Fprint(c.k.out, prompt)
		}
		select {
		case line, ok := <-c.lines:
			if !ok {
				return "", io.EOF
			}
			return line.text, line.err
		case <-c.interrupts:
			c.k.say("\n/bye or Ctrl-D ends the conversation")
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// block reads a text of several lines from its first on.
func (c *chat) block(ctx context.Context, first string) (string, error) {
	text := strings.TrimPrefix(first, `"""`)
	for {
		if whole, ok := strings.CutSuffix(strings.TrimRight(text, " \t"), `"""`); ok {
			return whole, nil
		}
		line, err := c.ask(ctx, "... ")
		switch {
		case errors.Is(err, io.EOF):
			return "", errors.New("stdin ended in the middle of a text that \"\"\" began")
		case err != nil:
			return "", err
		}
		if text += "\n" + line; len(text) > maxPrompt {
			return "", fmt.Errorf("the text is over %d MiB", maxPrompt>>20)
		}
	}
}

// command does what a line with a slash says; bye ends the conversation.
func (c *chat) command(line string) (bye bool) {
	switch line {
	case "/bye", "/exit", "/quit":
		return true
	case "/clear":
		c.task.Messages = c.task.Messages[:c.system]
		c.k.say("forgotten")
	case "/help", "/?":
		c.k.say(`/clear  forget the conversation
/bye    end it (or Ctrl-D)
"""     begin and end a text of several lines
Ctrl-C  cancel an answer`)
	default:
		c.k.say("%s is no command; /help lists them", printable(line, false))
	}
	return false
}

// say tells the model something and shows its answer. What was answered before a Ctrl-C stays said;
// a question that got no answer is forgotten.
func (c *chat) say(ctx context.Context, text string) error {
	before := len(c.task.Messages)
	c.task.Messages = append(c.task.Messages, client.Message{Role: "user", Content: text})
	answer, err := c.answer(ctx)
	if answer == "" {
		c.task.Messages = c.task.Messages[:before]
		return err
	}
	c.task.Messages = append(c.task.Messages, client.Message{Role: "assistant", Content: answer})
	return err
}

func (c *chat) answer(ctx context.Context) (string, error) {
	answering, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-c.interrupts:
			cancel()
		case <-answering.Done():
		}
	}()
	s := c.c.Stream(answering, c.task, "")
	answer, err := c.k.tell(s, true)
	cancelled := answering.Err() != nil
	cancel()
	<-watched
	if cancelled && s.JobID() != "" {
		err = c.k.cancelBehind(c.c, s.JobID())
	}
	return answer, err
}

// survives tells whether the conversation goes on after an answer failed: a person sees why, a
// script must learn it from the exit code.
func (c *chat) survives(ctx context.Context, err error) bool {
	if _, told := errors.AsType[*shown](err); !told && !errors.Is(err, context.Canceled) && c.person {
		c.k.exit(err)
	}
	return c.person && ctx.Err() == nil
}

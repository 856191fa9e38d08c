package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

func jobsCommand(k *keeper) *cobra.Command {
	return group("jobs", "Show, watch and cancel jobs", jobsList(k), jobsShow(k), jobsWatch(k), jobsCancel(k))
}

func jobsList(k *keeper) *cobra.Command {
	var limit int
	filter := map[string]*string{}
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List jobs, newest first as the queen has them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef(cmd, "--limit: %d is below 0", limit)
			}
			q := url.Values{}
			for name, v := range filter {
				if *v != "" {
					q.Set(name, *v)
				}
			}
			return k.list(cmd.Context(), "/v2/jobs", q, limit, k.jobTable)
		},
	}
	for _, name := range []string{"state", "model", "tenant", "priority"} {
		filter[name] = cmd.Flags().String(name, "", "only jobs of this "+name)
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "at most so many (0: all)")
	return cmd
}

func (k *keeper) jobTable(items []json.RawMessage) error {
	now := time.Now()
	return printList(k, items, "no jobs", []string{"ID", "STATE", "MODEL", "PRIORITY", "HIVE", "ATTEMPT", "TOKENS", "AGE"}, func(j client.Job) []string {
		tokens := ""
		if j.Usage != nil {
			tokens = strconv.FormatInt(j.Usage.CompletionTokens, 10)
		}
		return []string{j.ID, stateWord(j), j.Model, j.Priority, j.Hive, strconv.FormatUint(uint64(j.Attempt), 10), tokens, ago(j.SubmittedAt, now)}
	})
}

// list fetches a list and hands it to show.
func (k *keeper) list(ctx context.Context, path string, q url.Values, limit int, show func([]json.RawMessage) error) error {
	c, err := k.client(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	items, err := c.List(ctx, path, q, limit)
	if err != nil {
		return err
	}
	return show(items)
}

func jobsShow(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a job with its history", Args: exactly("the job's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printOne(k, func(c *client.Client) (json.RawMessage, error) {
				return c.Get(cmd.Context(), "/v2/jobs/"+url.PathEscape(args[0]), nil)
			}, k.jobDetails)
		},
	}
}

func (k *keeper) jobDetails(j client.Job) error {
	rows := [][]string{
		{"id", j.ID}, {"state", stateWord(j)}, {"model", j.Model}, {"tenant", j.Tenant}, {"priority", j.Priority},
		{"attempt", strconv.FormatUint(uint64(j.Attempt), 10)}, {"hive", j.Hive}, {"worker", j.Worker},
		{"submitted", j.SubmittedAt}, {"started", j.StartedAt}, {"completed", j.CompletedAt}, {"finish reason", j.FinishReason},
	}
	if j.Usage != nil {
		rows = append(rows, []string{"tokens", fmt.Sprintf("%d prompt, %d completion", j.Usage.PromptTokens, j.Usage.CompletionTokens)})
	}
	if j.Error != nil {
		rows = append(rows, []string{"error", j.Error.Code + ": " + j.Error.Message})
	}
	if err := printTable(k.out, nil, rows); err != nil {
		return err
	}
	if len(j.History) == 0 {
		return nil
	}
	fmt.Fprintln(k.out)
	var history [][]string
	for _, h := range j.History {
		history = append(history, []string{h.At, h.Event, h.Detail})
	}
	return printTable(k.out, []string{"AT", "EVENT", "DETAIL"}, history)
}

func jobsWatch(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "watch ID", Short: "Show a job's output from its beginning, live until it ends", Args: exactly("the job's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.client(func(text string) { k.say("[%s]", text) })
			if err != nil {
				return err
			}
			defer c.Close()
			return k.show(c.Follow(cmd.Context(), args[0]), true)
		},
	}
}

func jobsCancel(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "cancel ID...", Short: "Cancel jobs",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || slices.Contains(args, "") {
				return usagef(cmd, "the job's id is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			return each(k, args, func(id string) (string, error) {
				j, err := c.Cancel(cmd.Context(), id)
				return strings.TrimSpace(id + " " + stateWord(j)), err
			})
		},
	}
}

// each does something to several things: what works is printed, what does not is told, and
// the last failure is returned when all have been tried.
func each(k *keeper, names []string, do func(string) (string, error)) error {
	var failed error
	for _, name := range names {
		line, err := do(name)
		if err != nil {
			if failed != nil {
				k.say("rbee-keeper: %v", failed)
			}
			failed = fmt.Errorf("%s: %w", name, err)
			continue
		}
		fmt.Fprintln(k.out, line)
	}
	return failed
}

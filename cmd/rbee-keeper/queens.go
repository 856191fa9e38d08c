package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"queen-rbee/cmd/rbee-keeper/client"
)

func queensCommand(k *keeper) *cobra.Command {
	return group("queens", "Show and change the members of the cluster", queensList(k), queensToken(k), queensRemove(k), queensTransfer(k))
}

func queensList(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the queens", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printOne(k, func(c *client.Client) (json.RawMessage, error) {
				return c.Get(cmd.Context(), "/v2/cluster", nil)
			}, k.queenTable)
		},
	}
}

func (k *keeper) queenTable(cl client.Cluster) error {
	var rows [][]string
	for _, q := range cl.Queens {
		leader := ""
		if q.Leader || q.ID == cl.Leader {
			leader = "leader"
		}
		role := q.Role
		if role == "voter" && !q.Votes {
			role = "voter, catching up"
		}
		rows = append(rows, []string{q.ID, role, q.Status, leader, strconv.FormatUint(q.AppliedIndex, 10), q.HTTPURL, q.Version})
	}
	return printTable(k.out, []string{"ID", "ROLE", "STATUS", "LEADER", "APPLIED", "URL", "VERSION"}, rows)
}

func queensToken(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "token", Short: "Print the commands that join another queen and another hive", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			t, err := c.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			if k.output != "table" {
				return k.print(t)
			}
			fmt.Fprintf(k.out, "# another queen, on the machine that others reach as HOST:\n%s\n\n# another hive; it learns by itself of queens that join later:\n%s\n", t.JoinCommand, t.HiveCommand)
			return nil
		},
	}
}

func queensRemove(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "remove ID", Aliases: []string{"rm"}, Short: "Take a queen out of the cluster for good", Args: exactly("the queen's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.RemoveQueen(cmd.Context(), args[0]); err != nil {
				return err
			}
			k.say("%s is no longer a member; its data directory is of no further use", args[0])
			return nil
		},
	}
}

func queensTransfer(k *keeper) *cobra.Command {
	return &cobra.Command{
		Use: "transfer [ID]", Short: "Hand leadership to another queen",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef(cmd, "%q is one argument too many", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := k.client(nil)
			if err != nil {
				return err
			}
			defer c.Close()
			raw, err := c.Transfer(cmd.Context(), strings.Join(args, ""))
			if err != nil {
				return err
			}
			if k.output != "table" {
				return k.print(raw)
			}
			var answer struct{ Leader string }
			_ = json.Unmarshal(raw, &answer)
			if answer.Leader == "" {
				k.say("leadership handed over; rbee-keeper queens list shows to whom")
				return nil
			}
			k.say("%s leads", answer.Leader)
			return nil
		},
	}
}

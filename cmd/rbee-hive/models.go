package main

import (
	"cmp"
	"os"

	"queen-rbee/hives/device"
	"queen-rbee/hives/models"
)

// Models is the section `models:` of the config file.
type Models struct {
	Dir          string       `yaml:"dir"` // also --models-dir
	CacheLimit   device.Bytes `yaml:"cache_limit"`
	Bandwidth    device.Bytes `yaml:"bandwidth"` // a second
	Parts        int          `yaml:"parts"`
	KeepFree     device.Bytes `yaml:"keep_free"`
	Hub          Hub          `yaml:"hub"`
	AllowPrivate bool         `yaml:"allow_private"`
	AllowHTTP    bool         `yaml:"allow_http"`
	Files        []string     `yaml:"files"`
}

// Hub is where hf: sources are.
type Hub struct {
	Endpoint string `yaml:"endpoint"`
	TokenEnv string `yaml:"token_env"`
}

// Variables that people have set for other programs that fetch from the hub.
const (
	envEndpoint = "HF_ENDPOINT"
	envToken    = "HF_TOKEN"
)

// options are the section as package models takes it. dir is --models-dir.
func (m Models) options(dir string) models.Options {
	return models.Options{
		Dir: cmp.Or(dir, m.Dir), CacheLimit: int64(m.CacheLimit), Bandwidth: int64(m.Bandwidth), Parts: m.Parts, Slack: int64(m.KeepFree),
		Endpoint: cmp.Or(m.Hub.Endpoint, os.Getenv(envEndpoint)), Token: os.Getenv(cmp.Or(m.Hub.TokenEnv, envToken)),
		AllowPrivate: m.AllowPrivate, AllowHTTP: m.AllowHTTP, Files: m.Files,
	}
}

// validate names the variable that is to hold a token and does not.
func (m Models) validate() string {
	if name := m.Hub.TokenEnv; name != "" && os.Getenv(name) == "" {
		return "models.hub.token_env: the environment has no variable " + name + ": set it to the hub's token"
	}
	return ""
}

// Command puppet is [drivertest.Puppet] on its own, for images that hold nothing else.
package main

import "github.com/unicorn-web-services/uws/orchestrator/driver/drivertest"

func main() { drivertest.Puppet() }

//! Lines that count for nobody because it is not clear what they say: counted, and shown.
#![cfg(test)]
#![cfg(target_os = "linux")]

use stockade_tests::{Place, in_namespace, wait_until};

#[test]
fn lines_that_are_ambiguous_or_given_up_are_counted_for_their_jail_and_shown() {
    in_namespace(|| {
        let jail = |name: &str| {
            format!("[jails.{name}]\nfilter = \"{name}\"\nlogpath = \"{{dir}}/{name}.log\"\n")
        };
        let place = Place::new(&format!(
            "[defaults]\nbackend = \"file\"\n[jails.sshd]\nenabled = false\n{}{}",
            jail("sloppy"),
            jail("greedy")
        ));
        place.write(
            "filters/sloppy.toml",
            "failregex = ['^login of .* from <ADDR>.*$']\n",
        );
        // What stands twice can only be found by going back and forth.
        place.write(
            "filters/greedy.toml",
            "dialect = \"fail2ban\"\nfailregex = ['^(x+x+)+(?!q)y\\1 <HOST>$']\n",
        );
        place.write(
            "sloppy.log",
            "login of x from 203.0.113.9 from 192.0.2.1\nlogin of x from 192.0.2.1\n",
        );
        place.write("greedy.log", &format!("{}y 192.0.2.1\n", "x".repeat(60)));
        let _daemon = place.start();
        let of = |jail: &str, count: &str| {
            let status = place.ask(&format!(r#"{{"command":"status","jail":"{jail}"}}"#));
            status["jails"][0][count].as_u64().unwrap()
        };
        wait_until("both are counted", || {
            of("sloppy", "total_ambiguous") == 1 && of("greedy", "total_gave_up") == 1
        });
        assert_eq!(of("sloppy", "total_gave_up"), 0);
        let told = place.stockade(&["status"]).assert_code(0).out.clone();
        for line in [
            "sloppy: 1 lines not counted, as they can be read with different addresses",
            "greedy: 1 lines not counted, as they take too many steps",
        ] {
            assert!(told.contains(line), "{told}");
        }
        let metrics = place.stockade(&["metrics"]).assert_code(0).out.clone();
        for line in [
            "# TYPE stockade_jail_ambiguous_lines_total counter",
            "stockade_jail_ambiguous_lines_total{jail=\"sloppy\"} 1",
            "stockade_jail_gave_up_lines_total{jail=\"greedy\"} 1",
            "stockade_jail_state{jail=\"sloppy\",state=\"ok\"} 1",
            "stockade_dry_run 0",
        ] {
            assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
        }
    });
}

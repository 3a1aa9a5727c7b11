;; An example of virtsupd as a Shepherd service of Guix System, to be adapted; there is no Guix package
;; of virtsupd yet, so %virtsupd names where it was installed.
;;
;; Start          When virtsupd has said that it is ready on its control socket.
;; Stop, restart  TERM to virtsupd. [host] on_term = "auto" makes that `virtsupctl quit`: guests and
;;                services run on, and the next virtsupd finds them.
;; Upgrade        `guix system reconfigure` replaces the definition and stops nothing; then
;;                `herd restart virtsupd`.
;; Host shutdown  `herd stop root`, which halt and reboot come to, stops every service while root
;;                itself is stopping; then, and only then, everything ends in order.
;;
;; Shepherd's own /run/shepherd/socket stays Shepherd's: leave [host] herd_socket = false.

(define-module (virtsupd)
  #:use-module (gnu services)
  #:use-module (gnu services shepherd)
  #:use-module (guix gexp)
  #:export (virtsupd-service-type))

(define %virtsupd "/opt/virtsupd/bin/")

(define (virtsupd-shepherd-services config-file)
  (list
   (shepherd-service
    (provision '(virtsupd))
    (requirement '(user-processes networking udev dbus-system))
    (documentation "Supervise the virtualization host.")
    (start #~(make-forkexec-constructor
              (list #$(string-append %virtsupd "virtsupd") "--config" #$config-file)
              #:log-file "/var/log/virtsupd.log"))
    (stop #~(lambda (running)
              (if (eq? 'stopping (service-status (lookup-service 'root)))
                  (begin
                    (system* #$(string-append %virtsupd "virtsupctl")
                             "--timeout" "15min" "shutdown")
                    #f)
                  ((make-kill-destructor) running))))
    (actions
     (list
      (shepherd-action
       (name 'reload)
       (documentation "Read the host file again.")
       (procedure
        #~(lambda _
            (zero? (system* #$(string-append %virtsupd "virtsupctl") "reload"))))))))))

(define virtsupd-service-type
  (service-type
   (name 'virtsupd)
   (description "Run virtsupd, the supervisor of a virtualization host.")
   (extensions
    (list (service-extension shepherd-root-service-type virtsupd-shepherd-services)))
   (default-value "/etc/virtsupd/host.toml")))
